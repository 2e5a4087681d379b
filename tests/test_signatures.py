"""Signatures of releases: ``ssh-keygen`` accepts ours, we accept its, and nothing else is accepted.

The namespace is "seqarchive"; keys are Ed25519.
"""

from __future__ import annotations

import base64
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result
from contents import random_residues, run
from helpers import wait_until, write_fasta
from hypothesis import example, given, settings
from hypothesis import strategies as st
from servers import FileServer, serving

from seqarchive import SourceError
from seqarchive.errors import BadInput
from seqarchive.instances import Instance
from seqarchive.transfer import signatures
from seqarchive.verifying import verify

NAMESPACE = "seqarchive"

# --- what ssh-keygen does ---------------------------------------------------------------------


#: A key that is kept in another way than usual.
ED25519_GCM = ("-t", "ed25519", "-Z", "aes256-gcm@openssh.com")


def keygen(path: Path, *options: str, passphrase: str = "") -> Path:
    """A new private key; its public one is beside it."""
    command = ["ssh-keygen", "-q", "-C", "somebody@example.org", "-N", passphrase, "-f", str(path)]
    subprocess.run([*command, *(options or ("-t", "ed25519"))], check=True)
    return path


def public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def ssh_sign(message: bytes, key: Path, *options: str, namespace: str = NAMESPACE) -> bytes:
    """The signature that ``ssh-keygen`` makes."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace, *options]
    done = subprocess.run(command, input=message, capture_output=True, check=True)
    return done.stdout


def ssh_verify(message: bytes, signature: bytes, allowed: Path, tmp_path: Path) -> bool:
    """Whether ``ssh-keygen`` takes a signature for one by an allowed signer of releases."""
    file = tmp_path / f"{time.monotonic_ns()}.sig"
    file.write_bytes(signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", "somebody@example.org",
               "-n", NAMESPACE, "-s", str(file)]  # fmt: skip
    done = subprocess.run(command, input=message, capture_output=True, check=False)
    return done.returncode == 0


def allowed_signers(path: Path, *keys: Path, options: str = "") -> Path:
    lines = [
        " ".join(["somebody@example.org", *([options] if options else []), *words[:2]])
        for words in (public(key).read_text().split() for key in keys)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def fingerprint(key: Path) -> str:
    """As ``ssh-keygen`` shows it."""
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(public(key))], capture_output=True, check=True, text=True
    )
    return done.stdout.split()[1]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Some keys."""
    directory = tmp_path_factory.mktemp("keys")
    return {
        "own": keygen(directory / "own"),
        "other": keygen(directory / "other"),
        "locked": keygen(directory / "locked", passphrase="open sesame"),
        "sealed": keygen(directory / "sealed", *ED25519_GCM, passphrase="simsim"),
        "rsa": keygen(directory / "rsa", "-t", "rsa", "-b", "2048"),
        "ecdsa": keygen(directory / "ecdsa", "-t", "ecdsa"),
    }


# --- releases ---------------------------------------------------------------------------------


def succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the release r1, which is not signed."""
    root = tmp_path_factory.mktemp("loaded") / "archive"
    file = write_fasta(root.parent / "a.fa", {"A.1": random_residues("A.1", 5_000)})
    succeed(root, "load", "-n", "t", str(file))
    succeed(root, "snapshot", "r1")
    return root


@pytest.fixture
def there(template: Path, tmp_path: Path) -> Path:
    """The same, to be signed."""
    path = tmp_path / "there"
    subprocess.run(["cp", "-a", str(template), str(path)], check=True)
    (path / "r1").chmod(0o755)
    return path


@pytest.fixture
def server(there: Path) -> Iterator[FileServer]:
    """That one on a web server."""
    with serving(there) as found:
        yield found


def manifest(root: Path) -> bytes:
    return (root / "r1" / "manifest.json").read_bytes()


def publish_signature(root: Path, signature: bytes) -> None:
    (root / "r1" / "manifest.json.sig").write_bytes(signature)


def refused(done: Result, root: Path, *words: str, code: int = 9) -> None:
    """It failed with one line, and there is nothing."""
    assert done.code == code, done
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("seqarchive: ")
    for word in words:
        assert word in lines[0], lines[0]
    assert not root.exists()


#: What may be asked before it is known who signed a release.
FIRST = {"/releases.json", "/r1/manifest.json", "/r1/manifest.json.sig"}


def asked(server: FileServer) -> set[str]:
    return {one.path for one in server.asked}


# --- what is signed ---------------------------------------------------------------------------


def test_ssh_keygen_accepts_the_signature_of_a_snapshot(
    template: Path, keys: dict[str, Path], root: Path, cli: Cli, tmp_path: Path
) -> None:
    subprocess.run(["cp", "-a", str(template), str(root)], check=True)
    assert cli("snapshot", "--sign", keys["own"], "signed").code == 0
    data = (root / "signed" / "manifest.json").read_bytes()
    signature = (root / "signed" / "manifest.json.sig").read_bytes()
    allowed = allowed_signers(tmp_path / "allowed", keys["own"])
    assert ssh_verify(data, signature, allowed, tmp_path)
    assert not ssh_verify(data + b" ", signature, allowed, tmp_path)
    assert not ssh_verify(
        data, signature, allowed_signers(tmp_path / "allowed", keys["other"]), tmp_path
    )
    # Line by line as ssh-keygen writes it: Ed25519 signatures are the same each time.
    assert signature == ssh_sign(data, keys["own"])
    assert (root / "signed" / "manifest.json.sig").stat().st_mode & 0o777 == 0o444
    assert cli("--instance", "signed", "verify", "--full").code == 0
    assert not (root / "r1" / "manifest.json.sig").exists()
    for command in (("snapshots",), ("status",), ("--instance", "signed", "get", "t:A.1")):
        assert cli(*command).code == 0
    assert cli("prune", "signed").code == 0
    assert not (root / "signed").exists()


@pytest.mark.parametrize("options", [(), ("-O", "hashalg=sha256"), ("-O", "hashalg=sha512")])
def test_we_accept_what_ssh_keygen_signs(
    there: Path,
    server: FileServer,
    keys: dict[str, Path],
    root: Path,
    cli: Cli,
    options: tuple[str, ...],
) -> None:
    signature = ssh_sign(manifest(there), keys["own"], *options)
    publish_signature(there, signature)
    done = cli("pull", "--key", public(keys["own"]), server.url)
    assert (done.code, done.err) == (0, "")
    assert f"signature  by {fingerprint(keys['own'])}" in done.out
    assert (root / "r1" / "manifest.json.sig").read_bytes() == signature
    assert verify(Instance(root, "r1"), full=True).findings == []


def test_a_release_that_is_signed_by_us_is_pulled_with_the_key(
    template: Path, keys: dict[str, Path], root: Path, cli: Cli, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    subprocess.run(["cp", "-a", str(template), str(there)], check=True)
    succeed(there, "snapshot", "--sign", str(keys["own"]), "signed")
    with serving(there) as server:
        done = cli("--json", "pull", "--key", public(keys["own"]), server.url)
        assert done.code == 0
        assert f'"signed_by": "{fingerprint(keys["own"])}"' in done.out
        assert '"has_signature": true' in done.out
        done = cli("pull", server.url)
        assert "not checked" in done.out
    signature = (there / "signed" / "manifest.json.sig").read_bytes()
    assert (root / "signed" / "manifest.json.sig").read_bytes() == signature


@pytest.mark.parametrize("is_new", [True, False])
def test_a_push_signs(
    template: Path, keys: dict[str, Path], cli: Cli, root: Path, tmp_path: Path, is_new: bool
) -> None:
    subprocess.run(["cp", "-a", str(template), str(root)], check=True)
    there = tmp_path / "there"
    if not is_new:
        assert cli("push", str(there), "r1").code == 0
        assert not (there / "r1" / "manifest.json.sig").exists()
    done = cli("push", "--sign", keys["own"], str(there), "r1")
    assert (done.code, done.err) == (0, "")
    assert "published beside it" in done.out
    signature = (there / "r1" / "manifest.json.sig").read_bytes()
    assert ssh_verify(
        manifest(root), signature, allowed_signers(tmp_path / "allowed", keys["own"]), tmp_path
    )
    assert verify(Instance(there, "r1"), full=True).findings == []
    assert (there / "r1").stat().st_mode & 0o777 == 0o555
    other = tmp_path / "other"
    succeed(other, "pull", "--key", str(public(keys["own"])), str(there))


def test_what_a_push_says_of_a_signature_is_so(
    template: Path, keys: dict[str, Path], cli: Cli, root: Path, tmp_path: Path
) -> None:
    """Signed again by another key, it has the signature of that one."""
    subprocess.run(["cp", "-a", str(template), str(root)], check=True)
    there = tmp_path / "there"
    for key in ("own", "other"):
        done = cli("push", "--sign", keys[key], str(there), "r1")
        assert done.code == 0
        assert "published beside it" in done.out
        signature = (there / "r1" / "manifest.json.sig").read_bytes()
        assert signature == ssh_sign(manifest(root), keys[key])


def test_a_signature_comes_along_to_where_a_release_is_pushed(
    there: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    signature = ssh_sign(manifest(there), keys["own"])
    publish_signature(there, signature)
    succeed(there, "push", str(tmp_path / "next"), "r1")
    assert (tmp_path / "next" / "r1" / "manifest.json.sig").read_bytes() == signature


def test_a_release_that_is_signed_later_gets_its_signature(
    there: Path, server: FileServer, keys: dict[str, Path], root: Path, cli: Cli
) -> None:
    assert cli("pull", server.url).code == 0
    assert not (root / "r1" / "manifest.json.sig").exists()
    signature = ssh_sign(manifest(there), keys["own"])
    publish_signature(there, signature)
    done = cli("pull", "--key", public(keys["own"]), server.url)
    assert done.code == 0
    assert fingerprint(keys["own"]) in done.out
    assert (root / "r1" / "manifest.json.sig").read_bytes() == signature
    assert (root / "r1").stat().st_mode & 0o777 == 0o555
    assert (root / "r1" / "manifest.json.sig").stat().st_mode & 0o777 == 0o444
    assert verify(Instance(root, "r1"), full=True).findings == []


# --- what is refused --------------------------------------------------------------------------


def of_another(data: bytes) -> bytes:
    return data.replace(b"r1", b"r2")


def flipped(at: int) -> Callable[[bytes], bytes]:
    """A bit of the signature itself."""

    def change(armoured: bytes) -> bytes:
        lines = armoured.decode("ascii").splitlines()
        blob = bytearray(base64.b64decode("".join(lines[1:-1])))
        blob[at] ^= 1
        text = base64.b64encode(bytes(blob)).decode("ascii")
        return "\n".join([lines[0], text, lines[-1], ""]).encode("ascii")

    return change


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _armoured: b"",
    "a newline": lambda _armoured: b"\n",
    "half": lambda armoured: armoured[: len(armoured) // 2],
    "no end": lambda armoured: armoured.replace(b"-----END", b"-----"),
    "no beginning": lambda armoured: armoured.partition(b"\n")[2],
    "only armour": lambda armoured: b"\n".join(armoured.splitlines()[:: armoured.count(b"\n") - 1]),
    "twice": lambda armoured: armoured + armoured,
    "not base64": lambda armoured: armoured.replace(b"A", b"!", 1),
    "not ASCII": lambda armoured: armoured.replace(b"A", b"\xff", 1),
    "zeros": lambda armoured: bytes(len(armoured)),
    "a page": lambda _armoured: b"<html>Not found</html>",
    "a public key": lambda _armoured: b"ssh-ed25519 AAAA somebody\n",
    "other magic": flipped(0),
    "another version": flipped(9),
    "another kind of key": flipped(22),
    "a flipped bit of the key": flipped(40),
    "a flipped bit of the signature": flipped(-1),
    "another flipped bit": flipped(-40),
    "a length without end": flipped(14),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_signature_is_refused_before_anything_is_fetched(
    there: Path, server: FileServer, keys: dict[str, Path], root: Path, cli: Cli, damage: str
) -> None:
    signature = ssh_sign(manifest(there), keys["own"])
    assert DAMAGED[damage](signature) != signature
    publish_signature(there, DAMAGED[damage](signature))
    done = cli("pull", "--key", public(keys["own"]), server.url)
    refused(done, root, "sign", f"{server.url}/r1")
    assert asked(server) == FIRST


def not_signed(_there: Path, _keys: dict[str, Path]) -> None:
    return


def by_another_key(there: Path, keys: dict[str, Path]) -> None:
    publish_signature(there, ssh_sign(manifest(there), keys["other"]))


def of_another_manifest(there: Path, keys: dict[str, Path]) -> None:
    publish_signature(there, ssh_sign(of_another(manifest(there)), keys["own"]))


def for_another_purpose(there: Path, keys: dict[str, Path]) -> None:
    publish_signature(there, ssh_sign(manifest(there), keys["own"], namespace="file"))


def for_a_purpose_that_is_like_ours(there: Path, keys: dict[str, Path]) -> None:
    publish_signature(there, ssh_sign(manifest(there), keys["own"], namespace="seqarchive2"))


def by_rsa(there: Path, keys: dict[str, Path]) -> None:
    publish_signature(there, ssh_sign(manifest(there), keys["rsa"]))


def by_ecdsa(there: Path, keys: dict[str, Path]) -> None:
    publish_signature(there, ssh_sign(manifest(there), keys["ecdsa"]))


@pytest.mark.parametrize(
    "sign",
    [not_signed, by_another_key, of_another_manifest, for_another_purpose,
     for_a_purpose_that_is_like_ours, by_rsa, by_ecdsa],
)  # fmt: skip
def test_what_our_key_has_not_signed_for_us_is_refused_before_anything_is_fetched(
    there: Path,
    server: FileServer,
    keys: dict[str, Path],
    root: Path,
    cli: Cli,
    sign: Callable[[Path, dict[str, Path]], None],
) -> None:
    sign(there, keys)
    done = cli("pull", "--key", public(keys["own"]), server.url)
    refused(done, root, "sign", f"{server.url}/r1")
    assert asked(server) == FIRST
    publish_signature(there, ssh_sign(manifest(there), keys["own"]))
    assert cli("pull", "--key", public(keys["own"]), server.url).code == 0


def test_the_message_says_whose_signature_it_is(
    there: Path, server: FileServer, keys: dict[str, Path], root: Path, cli: Cli
) -> None:
    by_another_key(there, keys)
    done = cli("pull", "--key", public(keys["own"]), server.url)
    refused(done, root, fingerprint(keys["other"]))


def test_a_release_that_is_here_is_checked_too(
    there: Path, server: FileServer, keys: dict[str, Path], root: Path, cli: Cli
) -> None:
    assert cli("pull", server.url).code == 0
    for sign in (not_signed, by_another_key):
        sign(there, keys)
        done = cli("pull", "--key", public(keys["own"]), server.url)
        assert done.code == 9
        assert not (root / "r1" / "manifest.json.sig").exists()


def test_a_signed_manifest_that_was_changed_later_is_refused(
    there: Path, server: FileServer, keys: dict[str, Path], root: Path, cli: Cli
) -> None:
    """Even by somebody who can write the list too."""
    data = manifest(there)
    publish_signature(there, ssh_sign(data, keys["own"]))
    changed = data.replace(b'"seqarchive": "', b'"seqarchive": "9')
    listed = (there / "releases.json").read_bytes()
    for path, text in (
        (there / "r1" / "manifest.json", changed),
        (
            there / "releases.json",
            listed.replace(sha256(data).hexdigest().encode(), sha256(changed).hexdigest().encode()),
        ),
    ):
        path.unlink()
        path.write_bytes(text)
    refused(cli("pull", "--key", public(keys["own"]), server.url), root, "not one of this manifest")
    assert cli("pull", server.url).code == 0  # nobody asked who made it


# --- keys that sign ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rsa", "ecdsa"])
@pytest.mark.parametrize("verb", ["snapshot", "push"])
def test_other_kinds_of_keys_do_not_sign(
    there: Path, keys: dict[str, Path], cli: Cli, tmp_path: Path, name: str, verb: str
) -> None:
    target = "r2" if verb == "snapshot" else str(tmp_path / "next")
    done = cli("--root", str(there), verb, "--sign", keys[name], target)
    assert done.code == 5
    assert len(done.err.splitlines()) == 1
    assert "Ed25519" in done.err
    assert str(keys[name]) in done.err
    assert not (there / "r2").exists()
    assert not (there / ".snapshot").exists()
    assert not (tmp_path / "next").exists()


def test_what_is_no_private_key_does_not_sign(
    there: Path, keys: dict[str, Path], cli: Cli, tmp_path: Path
) -> None:
    texts = (
        b"",
        b"\xff\xfe",
        public(keys["own"]).read_bytes(),
        keys["own"].read_bytes()[:200],
        keys["own"].read_bytes().replace(b"\n", b"\nAAAA", 2),
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
    )
    file = tmp_path / "key"
    for text in texts:
        file.write_bytes(text)
        done = cli("--root", str(there), "snapshot", "--sign", file, "r2")
        assert done.code == 5, (text, done)
        assert len(done.err.splitlines()) == 1
        assert str(file) in done.err
        assert not (there / "r2").exists()
    for path in (tmp_path, tmp_path / "nothing"):
        assert cli("--root", str(there), "snapshot", "--sign", path, "r2").code == 2


def at_a_terminal(root: Path, answers: list[str], *arguments: str) -> Result:
    """Run a command of ours at a terminal of its own, where somebody answers what it asks."""
    own, theirs = os.openpty()
    command = [
        "setsid",
        "--ctty",
        "--wait",
        sys.executable,
        "-m",
        "seqarchive",
        "--root",
        str(root),
    ]
    process = subprocess.Popen(
        [*command, *arguments], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = bytearray()
    os.set_blocking(own, False)

    def look() -> bytes:
        with suppress(OSError):  # nothing now, or nobody any more
            shown.extend(os.read(own, 65536))
        return bytes(shown)

    try:
        for n, answer in enumerate(answers, 1):
            wait_until(lambda n=n: look().count(b"passphrase of") >= n)  # type: ignore[misc]
            os.write(own, answer.encode() + b"\n")
        assert process.stdout is not None
        out = process.stdout.read()
        code = process.wait(timeout=20)
        look()
    finally:
        process.kill()
        process.stdout.close() if process.stdout else None
        os.close(own)
    return Result(code, out.decode(), bytes(shown).decode())


def without_a_terminal(root: Path, stdin: bytes, *arguments: str) -> Result:
    """Run a command of ours in a session of its own, with a pipe as its standard input."""
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments]
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, start_new_session=True
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_passphrase_is_asked_for(there: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    done = at_a_terminal(there, ["open sesame"], "snapshot", "--sign", str(keys["locked"]), "r2")
    assert done.code == 0, done
    assert f"passphrase of {keys['locked']}" in done.err
    assert "open sesame" not in done.out + done.err
    data = (there / "r2" / "manifest.json").read_bytes()
    signature = (there / "r2" / "manifest.json.sig").read_bytes()
    allowed = allowed_signers(tmp_path / "allowed", keys["locked"])
    assert ssh_verify(data, signature, allowed, tmp_path)


@pytest.mark.parametrize("key", ["locked", "sealed"])
def test_a_wrong_passphrase_signs_nothing(there: Path, keys: dict[str, Path], key: str) -> None:
    done = at_a_terminal(there, ["wrong"], "snapshot", "--sign", str(keys[key]), "r2")
    assert done.code == 5, done
    assert "Traceback" not in done.err
    said = "the passphrase is wrong, or the key is damaged"
    assert done.err.splitlines()[-1] == f"seqarchive: {keys[key]}: {said}"
    assert "bcrypt" not in done.err
    assert not (there / "r2").exists()


@pytest.mark.parametrize(("key", "phrase"), [("locked", "open sesame"), ("sealed", "simsim")])
def test_a_passphrase_can_come_through_a_pipe(
    there: Path, keys: dict[str, Path], tmp_path: Path, key: str, phrase: str
) -> None:
    command = ["push", "--sign", str(keys[key]), str(tmp_path / "next")]
    done = without_a_terminal(there, f"{phrase}\n".encode(), *command)
    assert done.code == 0, done
    assert phrase not in done.out + done.err
    signature = (tmp_path / "next" / "r1" / "manifest.json.sig").read_bytes()
    allowed = allowed_signers(tmp_path / "allowed", keys[key])
    assert ssh_verify(manifest(there), signature, allowed, tmp_path)


def test_nobody_there_to_say_the_passphrase(there: Path, keys: dict[str, Path]) -> None:
    done = without_a_terminal(there, b"", "snapshot", "--sign", str(keys["locked"]), "r2")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"seqarchive: {keys['locked']} has a passphrase, and nobody is")
    assert "run this in a terminal, or give it on standard input" in done.err
    assert done.err.count("\n") == 1
    assert not (there / "r2").exists()


# --- files of keys ----------------------------------------------------------------------------


def test_several_keys_of_which_one_signed(
    there: Path, server: FileServer, keys: dict[str, Path], root: Path, cli: Cli, tmp_path: Path
) -> None:
    publish_signature(there, ssh_sign(manifest(there), keys["own"]))
    file = tmp_path / "keys"
    names = ("rsa", "other", "ecdsa", "own")
    file.write_text(
        "# those who may\n\n" + "".join(public(keys[name]).read_text() for name in names)
    )
    done = cli("pull", "--key", file, server.url)
    assert (done.code, done.err) == (0, "")
    assert fingerprint(keys["own"]) in done.out


NO_KEYS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no Ed25519 key"),
    "comments": (b"# nobody\n\n   \n", "no Ed25519 key"),
    "a text": (b"I am a key\n", "line 1"),
    "binary": (bytes(range(256)), ""),
    "no base64": (b"ssh-ed25519 !!!!\n", "line 1"),
    "truncated": (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n", "line 1"),
    "another kind inside": (b"ssh-ed25519 AAAAB3NzaC1yc2EAAAAA\n", "line 1"),
    "nothing after the type": (b"ssh-ed25519\n", "line 1"),
    "options of which we know nothing": (
        b'a@b valid-before="20200101" ssh-ed25519 AAAA\n',
        "valid-before",
    ),
    "an authority": (b"a@b cert-authority ssh-ed25519 AAAA\n", "cert-authority"),
}


@pytest.mark.parametrize("what", NO_KEYS)
def test_files_without_keys(
    server: FileServer, root: Path, cli: Cli, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(NO_KEYS[what][0])
    done = cli("pull", "--key", file, server.url)
    refused(done, root, str(file), NO_KEYS[what][1], code=5)
    assert server.asked == []


def test_files_of_other_keys_only(
    server: FileServer, keys: dict[str, Path], root: Path, cli: Cli, tmp_path: Path
) -> None:
    for name in ("rsa", "ecdsa"):
        done = cli("pull", "--key", public(keys[name]), server.url)
        refused(done, root, "Ed25519", code=5)
    refused(cli("pull", "--key", keys["own"], server.url), root, str(keys["own"]), code=5)
    assert cli("pull", "--key", tmp_path / "nothing", server.url).code == 2
    assert server.asked == []


PRINCIPAL = "somebody@example.org"

#: Lines of allowed signers; ``{}`` is the key.
LINES = [
    f"{PRINCIPAL} {{}}",
    f"{PRINCIPAL} {{}} with a comment",
    f"  {PRINCIPAL} {{}}",
    f"{PRINCIPAL}\t{{}}",
    f"# a comment\n\n  # another\n{PRINCIPAL} {{}}\n",
    f"{PRINCIPAL},other@example.org {{}}",
    "*@example.org {}",
    f'{PRINCIPAL} namespaces="seqarchive" {{}}',
    f'{PRINCIPAL} namespaces="file,seqarchive" {{}}',
    f'{PRINCIPAL} namespaces="file" {{}}',
    f'{PRINCIPAL} namespaces="seqarchive2" {{}}',
    f'{PRINCIPAL} namespaces="" {{}}',
    f'{PRINCIPAL} namespaces="!seqarchive,seqarchive" {{}}',
    f'{PRINCIPAL} namespaces="seqarchive,!seqarchive" {{}}',
    f'{PRINCIPAL} namespaces="seq*" {{}}',
    f'{PRINCIPAL} valid-before="20200101" {{}}',
    f'{PRINCIPAL} valid-after="20200101" {{}}',
    f'{PRINCIPAL} namespaces="seqarchive",valid-before="20200101" {{}}',
    f'{PRINCIPAL} cert-authority {{}}',
    f'ssh-people@example.org,{PRINCIPAL} {{}}',
    f'sk-{PRINCIPAL},{PRINCIPAL} {{}}',
]  # fmt: skip

#: Those of which ours understands less than ssh-keygen, and says so or takes none of them.
STRICTER = {
    f'{PRINCIPAL} namespaces="seq*" {{}}',
    f'{PRINCIPAL} valid-after="20200101" {{}}',
}


@pytest.mark.parametrize("line", LINES)
def test_a_file_of_allowed_signers_means_what_it_means_to_ssh_keygen(
    keys: dict[str, Path], tmp_path: Path, line: str
) -> None:
    message = b"a manifest"
    file = tmp_path / "allowed"
    words = public(keys["own"]).read_text().split()
    file.write_text(line.format(" ".join(words[:2])) + "\n")
    signature = ssh_sign(message, keys["own"])
    expected = ssh_verify(message, signature, file, tmp_path)
    try:
        found = signatures.read_public_keys(file)
        accepted = signatures.verify(message, signature, found, "it") == fingerprint(keys["own"])
    except (BadInput, SourceError):
        accepted = False
    assert accepted == (expected and line not in STRICTER)


def test_a_line_that_is_for_others_does_not_spoil_the_rest(
    keys: dict[str, Path], tmp_path: Path
) -> None:
    lines = [
        f'{PRINCIPAL} namespaces="{namespace}" {" ".join(public(key).read_text().split()[:2])}'
        for namespace, key in (("git", keys["other"]), ("seqarchive", keys["own"]))
    ]
    file = tmp_path / "allowed"
    file.write_text("\n".join(lines))
    message = b"a manifest"
    found = signatures.read_public_keys(file)
    assert signatures.verify(message, ssh_sign(message, keys["own"]), found, "it")
    with pytest.raises(SourceError):
        signatures.verify(message, ssh_sign(message, keys["other"]), found, "it")


# --- anything ---------------------------------------------------------------------------------


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def armour(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n"


PIECES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([b"seqarchive", b"", b"sha512", b"sha256", b"md5", string(b"ssh-ed25519")]),
    st.binary(min_size=32, max_size=32).map(lambda raw: string(b"ssh-ed25519") + string(raw)),
    st.binary(min_size=64, max_size=64).map(lambda raw: string(b"ssh-ed25519") + string(raw)),
)

BLOBS = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda rest: b"SSHSIG\0\0\0\1" + rest),
    st.lists(PIECES, max_size=7).map(
        lambda pieces: b"SSHSIG\0\0\0\1" + b"".join(map(string, pieces))
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), BLOBS.map(armour)))
@example(b"")
@example(armour(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"))
@example(armour(b"SSHSIG\0\0\0\1" + string(string(b"ssh-ed25519") + string(b""))))
def test_whatever_a_signature_file_holds_it_is_refused_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(SourceError):
        signatures.verify(b"a manifest", data, [bytes(32)], "it")


@settings(max_examples=200, deadline=None)
@given(
    key=PIECES, namespace=st.sampled_from([b"seqarchive"]), name=st.sampled_from([b"sha512"]),
    signature=PIECES, known=st.booleans(),
)  # fmt: skip
def test_a_signature_of_the_right_form_that_nobody_made_is_refused(
    key: bytes, namespace: bytes, name: bytes, signature: bytes, known: bool
) -> None:
    parts = (key, namespace, b"", name, signature)
    raw = key[19:] if known else bytes(32)
    data = armour(b"SSHSIG\0\0\0\1" + b"".join(map(string, parts)))
    with pytest.raises(SourceError):
        signatures.verify(b"a manifest", data, [raw], "it")


@settings(max_examples=100, deadline=None)
@given(message=st.binary(max_size=300), flip=st.integers(0, 8 * 300))
def test_whatever_is_signed_is_signed_as_it_is_and_not_otherwise(
    keys: dict[str, Path], message: bytes, flip: int
) -> None:
    signature = signatures.sign(message, keys["own"], lambda: b"")
    found = signatures.read_public_keys(public(keys["own"]))
    assert signatures.verify(message, signature, found, "it") == fingerprint_of(keys["own"])
    changed = bytearray(message + b"\0")
    changed[flip % len(changed)] ^= 1
    with pytest.raises(SourceError):
        signatures.verify(bytes(changed), signature, found, "it")


_fingerprints: dict[Path, str] = {}


def fingerprint_of(key: Path) -> str:
    if key not in _fingerprints:
        _fingerprints[key] = fingerprint(key)
    return _fingerprints[key]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
@example(b"ssh-ed25519 " + base64.b64encode(string(b"ssh-ed25519") + string(b"short")))
def test_whatever_a_file_of_keys_holds(tmp_path_factory: Any, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / f"keys-{os.getpid()}"
    file.write_bytes(data)
    try:
        found = signatures.read_public_keys(file)
    except BadInput:
        return
    assert all(len(key) == 32 for key in found)
