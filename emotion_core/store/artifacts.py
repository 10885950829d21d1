"""What can be downloaded: published weights, detectors and demo media, and from where.

``$EMOTION_MIRROR`` holds URLs of folders, separated by spaces, that are asked before the publishers:
``EMOTION_MIRROR=file:///media/usb`` works without a network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from emotion_core.errors import EmotionError
from emotion_core.store.download import download, mismatch, scheme_of
from emotion_core.store.files import is_file, user_path
from emotion_core.store.finding import KNOWN_FILES, model_dir


@dataclass(frozen=True)
class Artifact:
    """A published file.

    Attributes:
        name: of the file here.
        urls: where it is, in the order in which they are tried.
        size: in bytes, None where it is not known.
        sha256: hexadecimal, None where it is not known.
        licence: what its authors allow.
        description: what it is for.
        folder: of the target folder, where it goes.
        git_blob: what git calls the file in the repository that publishes it, a hash by which it is checked too.
        published_as: its name there, where that is another one.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    sha256: str | None
    licence: str
    description: str
    folder: str = ""
    git_blob: str | None = None
    published_as: str = ""

    @property
    def remote_name(self) -> str:
        """Of the file where it is published, and in mirrors."""
        return self.published_as or self.name


def _esr9() -> tuple[Artifact, ...]:
    repository = (
        "https://raw.githubusercontent.com/siqueira-hc/"
        "Efficient-Facial-Feature-Learning-with-Wide-Ensemble-based-Convolutional-Neural-Networks"
    )
    blobs = (
        "e5d8b005b556e00db68b0b5d0bcee7102ccd9a3f",
        "c4af83fd0c42e714c67b2ae937506d153f9bbe26",
        "a79d5f10035c2ba76ec8b3bd8bb26b74057e27b7",
        "c1296a8f4eed09b4409ea74a7733fdd4f098e886",
        "5e9060dd4920f25c8222b7758d0774b62d922ffa",
        "e21160368163d0c199ef16efa3a28b452c73d63b",
        "618bd03d599da78cdd75ed58f3eeef0b0a650c48",
        "db56e4b1aa42048f34cf4086593e37a5aabb5fce",
        "280edf9afa2d24b4c81e817c24846c805166faf4",
    )

    def part(name: str, size: int | None, sha256: str | None, git_blob: str) -> Artifact:
        return Artifact(
            name,
            tuple(
                f"{repository}/{version}/model/ml/trained_models/esr_9/{name}"
                for version in ("master", "5980cbf51bd2c4c64b6288d6c708e910479df025")
            ),
            size,
            sha256,
            "not for commercial use (its authors)",
            "ESR-9 trained on AffectNet by its authors, about 81 MB; for `emotion export FOLDER`",
            "esr_9",
            git_blob,
        )

    base = "563215f7ae9487277f2da2f1b48d6d1e3b3de5daa1cf377429dd5368379acb97"
    return (
        part("Net-Base-Shared_Representations.pt", 1506551, base, "b24ff4f0c09969e497f5817b8214561822767be9"),
        *(part(f"Net-Branch_{i}.pt", None, None, blob) for i, blob in enumerate(blobs, 1)),
    )


def _yunet() -> Artifact:
    # The weights of 2023 for pictures of any size, as ONNX Runtime needs it: opencv/opencv_zoo, pull request 310.
    name = "face_detection_yunet_2026may.onnx"
    urls = (
        f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{name}",
        f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{name}",
    )
    known = KNOWN_FILES[name]
    return Artifact(name, urls, 229738, known.sha256, known.licence, "YuNet, the better one of the face detectors")


def _rmn() -> Artifact:
    # Its authors publish neither hash nor size; the file is a pickle of torch, read as data only.
    name = "Z_resmasking_dropout1_rot30_2019Nov30_13.32"
    urls = (
        f"https://github.com/phamquiluan/ResidualMaskingNetwork/releases/download/v0.0.1/{name}",
        f"https://huggingface.co/phamquiluan/ResidualMaskingNetwork/resolve/main/{name}",
    )
    return Artifact(
        name,
        urls,
        None,
        None,
        "MIT, as its authors' code; trained on FER2013, whose own terms apply",
        "ResMaskingNet trained on FER2013 by its authors, about 550 MB; for `emotion export FILE`",
        "rmn",
    )


def _opendr(name: str, licence: str, description: str) -> Artifact:
    # OpenDR has this by FTP only, and publishes no hashes.
    url = f"ftp://opendrdata.csd.auth.gr/perception/facial_emotion_estimation/{name}"
    return Artifact(name.rpartition("/")[2], (url,), None, None, licence, description, "opendr")


def _opendr_av(name: str, published_as: str) -> Artifact:
    url = f"ftp://opendrdata.csd.auth.gr/perception/multimodal_human_centric/audiovisual_emotion_learner/{published_as}"
    return Artifact(
        name,
        (url,),
        None,
        None,
        "CC BY-NC-SA 4.0, as RAVDESS",
        "OpenDR's audiovisual network (fusion ia, zerodrop), trained on RAVDESS; for AudiovisualEmotionLearner.load",
        "opendr_av",
        published_as=published_as,
    )


ARTIFACTS: Mapping[str, tuple[Artifact, ...]] = MappingProxyType(
    {
        "yunet": (_yunet(),),
        "esr9": _esr9(),
        "rmn": (_rmn(),),
        "opendr-data": (
            _opendr(
                "data/AffectNet_micro.zip",
                "AffectNet: non-commercial research only",
                "OpenDR's few faces of AffectNet in its folders, to try training and evaluation; stays packed",
            ),
        ),
        "opendr-image": (_opendr("demo/sheldon.jpg", "not stated", "OpenDR's demo picture"),),
        "opendr-av": (
            _opendr_av("model_weights.pt", "av_emotion_ia_zerodrop.pt"),
            _opendr_av("metadata.json", "av_emotion_ia_zerodrop.json"),
        ),
        "opendr-video": (_opendr("demo/big_bang.mp4", "not stated", "OpenDR's demo video"),),
    }
)
"""What can be downloaded: the files behind each name."""


def mirrors() -> list[str]:
    """The URLs of folders in $EMOTION_MIRROR; raises EmotionError for one that is none."""
    found = os.environ.get("EMOTION_MIRROR", "").split()
    for url in found:
        if scheme_of(url) not in ("http", "https", "file"):
            raise EmotionError(f"EMOTION_MIRROR: expected URLs of http, https or file, got {url!r}")
    return found


def target(artifact: Artifact, folder: str | Path | None = None) -> Path:
    """Where the file goes below a folder, by default the model store."""
    return (model_dir() if folder is None else user_path(folder)) / artifact.folder / artifact.name


def is_here(artifact: Artifact, folder: str | Path | None = None) -> bool:
    """Whether the file is there and readable, and whole as far as its size and hashes are known."""
    path = target(artifact, folder)
    try:
        if not is_file(path) or artifact.size not in (None, path.stat().st_size):
            return False
        return not mismatch(path, artifact.sha256, artifact.git_blob)
    except OSError:
        return False


def fetch(artifact: Artifact, folder: str | Path | None = None, **how: Any) -> Path:
    """Get a published file from the first of mirrors and publishers that has it, unless it is here.

    Args:
        artifact: which.
        folder: where to, by default the model store.
        how: ``timeout_s``, ``retries`` and ``on_progress`` of ``download``.

    Raises:
        EmotionError: nobody has it; the message says why.
    """
    path = target(artifact, folder)
    if is_here(artifact, folder):
        return path
    problems = []
    for url in (*(f"{mirror.rstrip('/')}/{quote(artifact.remote_name)}" for mirror in mirrors()), *artifact.urls):
        try:
            return download(url, path, sha256=artifact.sha256, git_blob=artifact.git_blob, size=artifact.size, **how)
        except EmotionError as error:
            if isinstance(error.__cause__, OSError):  # the disk is the same for every URL
                raise
            problems.append(str(error))
    raise EmotionError("; ".join(problems))
