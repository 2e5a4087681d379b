"""The metadata is in setup.cfg; this file lets old tools install the package too."""

from setuptools import setup

setup()
