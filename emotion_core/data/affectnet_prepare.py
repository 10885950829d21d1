"""From AffectNet's pictures and tables to the faces that ``emotion_core.data.affectnet`` reads.

``prepare_affectnet`` cuts the faces out once and writes them as 96 x 96 pictures, 500 a folder.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import cv2

from emotion_core.cores import bound_opencv
from emotion_core.data.affectnet import NAME_PATTERN, SIDE_PX, numbered_folders, set_folder
from emotion_core.data.affectnet_release import find_release, is_release
from emotion_core.data.affectnet_rows import (
    MISSING,
    OUTSIDE,
    REASONS,
    UNREADABLE,
    Bounds,
    Row,
    Skips,
    read_release,
    read_table,
)
from emotion_core.data.folder import resize_square
from emotion_core.errors import EmotionError
from emotion_core.media.pictures import decode_picture
from emotion_core.store.files import UNFINISHED, atomic_write, user_path

TABLES = ("automatically_annotated.csv", "training.csv", "validation.csv")
FACES_A_FOLDER = 500
JPEG_QUALITY = 95
MIN_BOX_INSIDE = 0.5
"""A box that reaches over the edge of its picture is cut there; with less than this share inside it is left out."""

_Result: TypeAlias = "bytes | str | None"


@dataclass(frozen=True)
class PreparationReport:
    """What a preparation did; also in ``report.json`` beside the folders of faces.

    Attributes:
        folder: where the faces of the set lie.
        rows: rows of the table.
        written: faces that this run wrote.
        already_there: faces that an earlier run wrote.
        skipped: rows without a face, by reason; the reasons are ``REASONS``.
        examples: up to five of the rows skipped for each reason, with the number of the row counted from 0.
    """

    folder: str
    rows: int
    written: int
    already_there: int
    skipped: dict[str, int]
    examples: dict[str, tuple[str, ...]]


def pre_process_affect_net(
    base_path_to_images: str | Path, base_path_to_annotations: str | Path, base_destination_path: str | Path,
    set_index: int,
) -> PreparationReport:  # fmt: skip
    """``prepare_affectnet`` under the name by which the ESR networks' documentation calls it."""
    return prepare_affectnet(base_path_to_images, base_path_to_annotations, base_destination_path, set_index)


def prepare_affectnet(
    images: str | Path,
    annotations: str | Path,
    out: str | Path,
    set_index: int,
    *,
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> PreparationReport:
    """Cut the faces of one set out of AffectNet's pictures.

    Writes ``out/<set>/<folder>/<name>.jpg``, 96 x 96 BGR JPEG of quality 95; a box that is not square is squeezed
    into one, as the authors of the ESR networks do. Expressions 8 to 10 (none, uncertain, no face) and faces without
    valence and arousal are left out. The id in a name is the number of its row in the table, and the folder follows
    from its place among the rows that name a face: both are the same in every run, whichever pictures turn out
    unreadable. A run that was stopped goes on where it stopped.

    The release with ``images/N.jpg`` and ``annotations/N_exp.npy`` (see ``data.affectnet_release``) has no tables and
    no boxes: its pictures are faces already and are taken whole, and N is the id.

    Args:
        images: folder that the paths in the table start from; of the release that of the images, of the set, or of
            both sets.
        annotations: a table of AffectNet, with or without a header line, or the folder that holds training.csv,
            validation.csv and automatically_annotated.csv; of the release as ``images``.
        out: folder that gets the set's folder, one of ``FOLDERS``.
        set_index: 0 unlabelled (automatically annotated), 1 training, 2 validation.
        workers: threads that decode and cut; 0 for one for each core that this process may use.
        on_progress: called with (rows done, rows to do), by the calling thread.

    Raises:
        EmotionError: a folder, the table or one of its columns is missing, the destination holds faces of another
            table, or a face cannot be written.
    """
    images, folder = user_path(images), user_path(out) / set_folder(set_index)
    if not images.is_dir():
        raise EmotionError(f"no AffectNet pictures: {images} is not a folder")
    if workers < 0:
        raise EmotionError(f"expected 0 workers (one a core) or more, got {workers}")
    table = user_path(annotations)
    skips = Skips()
    released = find_release(table, set_index, "annotations")
    if is_release(released):
        assert released is not None
        images = find_release(images, set_index, "images") or images
        rows, total = read_release(released, images, skips)
    else:
        table = table / TABLES[set_index] if table.is_dir() else table
        rows, total = read_table(table, skips)
    targets = [folder / str(place // FACES_A_FOLDER) / row.name for place, row in enumerate(rows)]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _check_own(folder, targets)
    cores, written, already_there = bound_opencv(), 0, 0
    with contextlib.closing(_cut_all(images, rows, targets, workers or cores)) as results:
        for done, (row, target, result) in enumerate(results, 1):
            if isinstance(result, str):
                skips.add(result, row.number, row.file)
            elif result is None:
                already_there += 1
            else:
                with _writing(folder):
                    target.parent.mkdir(exist_ok=True)
                    # Not durable: the next run looks into every face, and makes anew what a power cut took.
                    with atomic_write(target, durable=False) as path:
                        path.write_bytes(result)
                written += 1
            if on_progress:
                on_progress(done, len(rows))
    counts = {reason: skips.counts[reason] for reason in REASONS}
    examples = {reason: tuple(texts) for reason, texts in skips.examples.items()}
    report = PreparationReport(str(folder), total, written, already_there, counts, examples)
    with _writing(folder), atomic_write(folder / "report.json") as path:
        path.write_text(json.dumps(asdict(report), indent=1) + "\n")
    return report


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmotionError(
            f"cannot write into {folder}: {error.strerror or error}; mend that and run again, it goes on from here"
        ) from None


def _check_own(folder: Path, targets: list[Path]) -> None:
    """Raise unless all faces in the folder are of this table; remove what a killed run left half-written."""
    own = {(target.parent.name, target.name) for target in targets}
    for name, names in numbered_folders(folder):
        for file in names:
            if NAME_PATTERN.fullmatch(file) and (name, file) not in own:
                raise EmotionError(
                    f"{folder} holds faces of another table ({name}/{file}): choose another folder or remove it"
                )
            if UNFINISHED.fullmatch(file):
                (folder / name / file).unlink()


def _cut_all(
    images: Path, rows: list[Row], targets: list[Path], workers: int
) -> Generator[tuple[Row, Path, _Result], None, None]:
    """(row, target, result of ``_cut``) in the order of the rows, a few pictures ahead of who reads.

    Threads do, since OpenCV lets go of the interpreter while it decodes; and processes would import the caller's
    script again. The calling thread writes.
    """
    pending: deque[tuple[Row, Path, Future[_Result]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for row, target in zip(rows, targets, strict=True):
            pending.append((row, target, pool.submit(_cut, images / row.file, row.box, target)))
            if len(pending) > 4 * workers:
                row, target, future = pending.popleft()
                yield row, target, future.result()
        for row, target, future in pending:
            yield row, target, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _cut(source: Path, box: Bounds | None, target: Path) -> _Result:
    """The face as JPEG, or why there is none; None when it is in the target already."""
    if _is_whole(target):
        return None
    try:
        picture = decode_picture(source.read_bytes())
    except FileNotFoundError:
        return MISSING
    except (EmotionError, OSError, ValueError):  # ValueError: no path can look like that
        return UNREADABLE
    image = picture.image
    whole = (0.0, 0.0, float(picture.width), float(picture.height))
    x, y, width, height = (value / picture.scale for value in box or whole)
    left, right = (min(max(round(v), 0), image.shape[1]) for v in (x, x + width))
    top, bottom = (min(max(round(v), 0), image.shape[0]) for v in (y, y + height))
    if right <= left or bottom <= top or (right - left) * (bottom - top) < MIN_BOX_INSIDE * width * height:
        return OUTSIDE
    face = resize_square(image[top:bottom, left:right], SIDE_PX)
    _, data = cv2.imencode(".jpg", face, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return bytes(data)


def _is_whole(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")
