"""The RefgetStore: the layout in which gtars, refget and refgenie exchange collections."""
