"""`trellis image`: what a person does with images before any cluster is there. No instance runs."""

import io
import json
import os
import pathlib
import subprocess
import tarfile

import pytest

from instance import TRELLIS


def image(data, *words):
    return subprocess.run([TRELLIS, "image", "--data-dir", str(data), *words], capture_output=True, text=True)


def archive(data, place, annotations):
    """The only image of `data` as others write it: a tar of the OCI image layout."""
    images = pathlib.Path(data) / "images"
    (digest,) = {line.split()[1] for line in image(data, "list").stdout.splitlines()}
    manifest = images / "blobs/sha256" / digest.removeprefix("sha256:")
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
        "size": manifest.stat().st_size, "annotations": annotations}]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    files |= {f"blobs/sha256/{path.name}": path.read_bytes() for path in (images / "blobs/sha256").iterdir()}
    with tarfile.open(place, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(place)


@pytest.fixture
def built(tmp_path):
    """A data directory with one image, of a static program."""
    source = tmp_path / "echo.c"
    source.write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-static", "-o", tmp_path / "echo", source], check=True)
    done = image(tmp_path / "built", "build", "--name", "demo/echo:1", "--env", "PORT=80", str(tmp_path / "echo"), "--", "-v")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("docker.io/demo/echo:1 sha256:")
    return tmp_path / "built"


def test_an_image_that_was_built_is_imported_elsewhere_by_its_name_or_another(built, tmp_path):
    named = archive(built, tmp_path / "named.tar", {"io.containerd.image.name": "registry.example/team/echo:2"})
    there = tmp_path / "there"
    assert image(there, "import", named).stdout.split()[0] == "registry.example/team/echo:2"
    nameless = archive(built, tmp_path / "nameless.tar", {"org.opencontainers.image.ref.name": "latest"})
    refused = image(there, "import", nameless)
    assert refused.returncode == 1 and "give a name" in refused.stderr
    assert image(there, "import", "--name", "other/echo:3", nameless).returncode == 0
    names = [line.split()[0] for line in image(there, "list").stdout.splitlines()]
    assert names == ["docker.io/other/echo:3", "registry.example/team/echo:2"]


def test_what_is_no_image_is_refused_without_a_word_of_what_is_in_it(built, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret of somebody else\n" * 100)
    cut = tmp_path / "cut.tar"
    whole = pathlib.Path(archive(built, tmp_path / "whole.tar", {})).read_bytes()
    cut.write_bytes(whole[:len(whole) // 2])
    for path in (secret, cut):
        refused = image(tmp_path / "there", "import", str(path))
        assert refused.returncode == 1 and "not of the OCI image layout" in refused.stderr, refused.stderr
        assert "somebody" not in refused.stderr
    assert image(tmp_path / "there", "list").stdout == ""


def test_an_image_runs_without_anything_of_the_machine(tmp_path):
    """A program that is linked with libraries, in the files of its image and no others."""
    assert image(tmp_path, "build", "--name", "demo/env:1", "--with", "/usr/bin/true", "/usr/bin/env").returncode == 0
    blobs = [path for path in (tmp_path / "images/blobs/sha256").iterdir() if tarfile.is_tarfile(path)]
    [layer] = blobs
    with tarfile.open(layer) as tar:
        tar.extractall(tmp_path / "root", filter="fully_trusted")
    whose = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = lambda *words: subprocess.run(["unshare", *whose, "--root", tmp_path / "root", *words], capture_output=True, text=True)
    assert inside("/env", "-i", "A=b").stdout == "A=b\n"
    assert inside("/true").returncode == 0


def test_a_program_whose_libraries_are_not_here_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "part.c").write_text("int part(void) { return 0; }")
    (tmp_path / "main.c").write_text("int part(void); int main(void) { return part(); }")
    subprocess.run(["cc", "-shared", "-o", "libpart.so", "part.c"], cwd=tmp_path, check=True)
    subprocess.run(["cc", "-o", "main", "main.c", "-L.", "-lpart"], cwd=tmp_path, check=True)
    refused = image(tmp_path, "build", "--name", "demo/main:1", str(tmp_path / "main"))
    assert refused.returncode == 1 and "libpart.so" in refused.stderr and "build it statically" in refused.stderr
