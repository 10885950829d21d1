"""Training the audiovisual network: modality dropout, modes of evaluation, datasets, the task. Clips are drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from emotion_core.data.clips import ClipSet, as_clips, fit_clip, fit_sound, relabelled_clips  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.evaluation.modes import MODES, disturbed, evaluate_mode, evaluate_modes, run_clips  # noqa: E402
from emotion_core.learners.engine import Timeseries, Video  # noqa: E402
from emotion_core.models.audiovisual import Audiovisual, AudiovisualConfig  # noqa: E402
from emotion_core.models.registry import inputs_of  # noqa: E402
from emotion_core.training.audiovisual import AudiovisualTask  # noqa: E402
from emotion_core.training.audiovisual_config import AudiovisualTrainingConfig  # noqa: E402
from emotion_core.training.distributed import Processes  # noqa: E402
from emotion_core.training.events import EpochDone  # noqa: E402
from emotion_core.training.loop import Loop  # noqa: E402
from emotion_core.training.modality_dropout import drop  # noqa: E402

SMALL = AudiovisualConfig(num_classes=3, frames=2, image_size=32, window_s=0.5)
LABELS = ("calm", "happy", "sad")
STEPS = SMALL.steps


def clips(count: int = 12, seed: int = 0, labels: tuple[str, ...] = LABELS) -> ClipSet:
    """Classes that can be seen in the brightness and heard in the level."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 3
    faces = (rng.integers(0, 60, (count, 3, 2, 32, 32)) + 90 * kinds[:, None, None, None, None]).astype(np.uint8)
    sounds = rng.standard_normal((count, 10, STEPS)).astype(np.float32) + 3 * kinds[:, None, None]
    classes = np.array([labels.index(LABELS[kind]) for kind in kinds])
    return ClipSet(sounds.astype(np.float32), faces, classes, labels)


def same(a, b) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# Modality dropout.


def batch():
    count = 5
    clip = torch.arange(1.0, count + 1).view(-1, 1, 1, 1, 1).expand(-1, 3, 2, 4, 4).clone()
    return clip, -clip[:, :1, :, 0, 0].repeat(1, 5, 2), torch.arange(count)


def test_nodrop_changes_nothing():
    clip, sound, targets = batch()
    for a, b in zip(drop(clip, sound, targets, "nodrop", torch.Generator()), (clip, sound, targets), strict=True):
        assert torch.equal(a, b)


def test_zerodrop_adds_weak_and_missing_senses():
    """Each sample comes four times: whole, weighed c and 1 - c, without sound, without clip."""
    clip, sound, targets = batch()
    mixed = drop(clip, sound, targets, "zerodrop", torch.Generator().manual_seed(0))
    assert mixed[0].shape == (20, 3, 2, 4, 4) and mixed[1].shape == (20, 5, 4)
    weights = set()
    for target in range(5):
        chosen = mixed[2] == target
        seen = mixed[0][chosen].flatten(1) / clip[target].flatten()  # each sample is scaled as a whole
        heard = mixed[1][chosen].flatten(1) / sound[target].flatten()
        assert (seen.max(1).values - seen.min(1).values).max() < 1e-6
        pairs = sorted(
            (round(a, 4), round(b, 4)) for a, b in zip(seen[:, 0].tolist(), heard[:, 0].tolist(), strict=True)
        )
        for pair in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
            pairs.remove(pair)
        ((v, a),) = pairs
        assert v + a == pytest.approx(1) and 0 <= a < 1 and round(100 * a) == pytest.approx(100 * a, abs=0.02)
        weights.add(a)
    assert len(weights) > 1  # one c a sample
    assert not torch.equal(mixed[2], targets.repeat(4))  # shuffled
    again = drop(clip, sound, targets, "zerodrop", torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(mixed, again, strict=True))


def test_noisedrop_adds_noise_for_one_sense():
    clip, sound, targets = batch()
    clip, sound = clip.repeat(20, 1, 1, 1, 1), sound.repeat(20, 1, 1)
    seen, heard, classes = drop(clip, sound, targets.repeat(20), "noisedrop", torch.Generator().manual_seed(0))
    assert len(seen) == len(heard) == len(classes) == 300
    whole_clip = (seen.flatten(1) == (classes + 1.0)[:, None]).all(1)
    whole_sound = (heard.flatten(1) == -(classes + 1.0)[:, None]).all(1)
    assert int(whole_clip.sum()) == int(whole_sound.sum()) == 200 and int((whole_clip & whole_sound).sum()) == 100
    for noise in (seen[~whole_clip], heard[~whole_sound]):
        assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1


# Modes.


class Spy:
    """A network that remembers what it was given and always says the same."""

    def __init__(self) -> None:
        self.given: list = []

    def __call__(self, clip, sound):
        from emotion_core.runtime.ensemble import EnsembleOutput

        self.given.append((clip, sound))
        return EnsembleOutput.from_arrays(np.tile(np.log([[0.5, 0.3, 0.2]]), (len(clip), 1)), None)


INPUTS = inputs_of(Audiovisual(SMALL))


def test_modes_take_a_sense_away_or_disturb_it():
    data = clips(40)
    found = {}
    for mode in MODES:
        spy = Spy()
        run_clips(spy, data, INPUTS, mode, batch_size=16)
        assert [len(clip) for clip, _ in spy.given] == [16, 16, 8]
        found[mode] = tuple(np.concatenate(parts) for parts in zip(*spy.given, strict=True))
    clip, sound = found["audiovisual"]
    np.testing.assert_allclose(clip, data.clips / np.float32(255), atol=1e-7)
    np.testing.assert_array_equal(sound, data.sounds)
    assert not found["onlyaudio"][0].any() and np.array_equal(found["onlyaudio"][1], sound)
    assert not found["onlyvideo"][1].any() and np.array_equal(found["onlyvideo"][0], clip)
    assert np.array_equal(found["noisyaudio"][0], clip) and np.array_equal(found["noisyvideo"][1], sound)
    for noise in (found["noisyaudio"][1], found["noisyvideo"][0]):
        assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    one_by_one = Spy()
    run_clips(one_by_one, data, INPUTS, "noisyaudio", batch_size=1)
    np.testing.assert_array_equal(np.concatenate([s for _, s in one_by_one.given]), found["noisyaudio"][1])


def test_a_mode_is_measured():
    result = evaluate_mode(Spy(), clips(12), INPUTS, LABELS, "onlyvideo")
    assert result.categories.ensemble.accuracy == pytest.approx(100 / 3)
    assert result.cross_entropy == pytest.approx(-np.log([0.5, 0.3, 0.2]).mean())
    assert result.to_dict()["mode"] == "onlyvideo" and json.dumps(result.to_dict())
    other = evaluate_mode(Spy(), clips(12, labels=("sad", "calm", "happy")), INPUTS, LABELS)  # by name, not by place
    assert other.cross_entropy == pytest.approx(result.cross_entropy)
    assert list(evaluate_modes(Spy(), clips(3), INPUTS, LABELS)) == list(MODES)
    with pytest.raises(EmotionError, match="unknown mode 'video': use one of audiovisual, onlyaudio"):
        evaluate_mode(Spy(), clips(3), INPUTS, LABELS, "video")
    with pytest.raises(EmotionError, match="unknown mode ''"):
        disturbed(np.zeros(1), np.zeros(1), "", np.random.default_rng())
    with pytest.raises(EmotionError, match="there is nothing to evaluate"):
        run_clips(Spy(), clips(0), INPUTS)
    with pytest.raises(EmotionError, match="takes a clip and a sound, in this order, this one takes sound, face_clip"):
        run_clips(Spy(), clips(3), INPUTS[::-1])


# Datasets from elsewhere.


class Foreign:
    """As OpenDR's datasets: items with ``data``, no labels."""

    def __init__(self, data: ClipSet) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        sound, clip, target = self.data[index]
        return Timeseries(sound), Video(clip), Timeseries(np.int64(target))


def test_datasets_from_elsewhere_are_read():
    own = clips(6)
    found = as_clips(Foreign(own), LABELS)
    assert found.labels == LABELS and found.targets.tolist() == own.targets.tolist()
    for got, expected in zip(found, own, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
        assert got[2] == expected[2]
    tensors = as_clips([(torch.zeros(10, STEPS), torch.zeros(3, 2, 32, 32), torch.tensor(1))], LABELS)
    assert tensors.targets.tolist() == [1] and isinstance(tensors[0][1], np.ndarray)
    with pytest.raises(EmotionError, match=r"expected items \(sound, clip, class\), item 0 is int"):
        as_clips([3], LABELS)
    with pytest.raises(EmotionError, match=r"expected classes 0 to 2 \(calm, happy, sad\), got 0 to 3"):
        as_clips([(0, 0, 0), (0, 0, 3)], LABELS)
    with pytest.raises(EmotionError, match="whole numbers"):
        as_clips([(0, 0, 0.5)], LABELS)
    with pytest.raises(EmotionError, match="expected a dataset with a length and items, got int"):
        as_clips(3, LABELS)


def test_classes_in_another_order_are_put_into_one():
    turned = relabelled_clips(clips(6, labels=("sad", "calm", "happy")), LABELS, "a", "b")
    assert turned.labels == LABELS and turned.targets.tolist() == [0, 1, 2, 0, 1, 2] == [item[2] for item in turned]
    own = clips(6)
    assert relabelled_clips(own, LABELS, "a", "b") is own
    with pytest.raises(EmotionError, match="a must have the same labels as b"):
        relabelled_clips(own, ("calm", "happy", "fear"), "a", "b")


def test_what_does_not_fit_the_network_is_refused():
    seen, heard = INPUTS
    with pytest.raises(EmotionError, match=r"expected sound of shape \(10, 22\), got \(10, 113\)"):
        fit_sound(np.zeros((10, 113)), heard)
    with pytest.raises(EmotionError, match="finite numbers in sound"):
        fit_sound(np.full((10, STEPS), np.nan), heard)
    with pytest.raises(EmotionError, match=r"clip of shape \(3, 2, 32, 32\), got \(2, 3, 32, 32\)"):
        fit_clip(np.zeros((2, 3, 32, 32)), seen)
    with pytest.raises(EmotionError, match=r"got float64 from 0 to 255: divide by 255, or give uint8"):
        fit_clip(np.linspace(0, 255, 3 * 2 * 32 * 32).reshape(3, 2, 32, 32), seen)


# The task.


def task(**changes) -> AudiovisualTask:
    config = AudiovisualTrainingConfig(**{"model": SMALL, "epochs": 3, "batch_size": 6, "lr": 0.02, **changes})
    return AudiovisualTask(config, clips(18), clips(9, 1))


def test_settings_reach_the_optimizer():
    chosen = task(lr_steps=(1, 2), dampening=0.4, weight_decay=0.01)
    optimizer = chosen.optimizer(0)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["dampening"], group["weight_decay"]) == (0.02, 0.9, 0.4, 0.01)
    assert not group["nesterov"] and len(group["params"]) == len(chosen.model.learned())
    scheduler = chosen.schedule(0, optimizer, None).scheduler
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.02, 0.002, 0.0002])


def test_an_epoch_shows_every_clip_with_all_its_frames_changed_alike():
    chosen = task(dropout="nodrop", batch_size=4)
    batches = list(chosen.batches(0, 0, Processes()))
    assert [len(b.targets) for b in batches] == [4, 4, 4, 4, 2]
    assert sorted(torch.cat([b.targets for b in batches]).tolist()) == sorted(chosen.data.targets.tolist())
    still = replace(clips(4), clips=np.repeat(clips(4).clips[:, :, :1], 2, axis=2))
    moved = AudiovisualTask(chosen.config, still, None)
    ((seen, heard),) = (b.inputs for b in moved.batches(0, 0, Processes()))
    torch.testing.assert_close(seen[:, :, 0], seen[:, :, 1])
    assert float(seen.min()) >= 0 and float(seen.max()) <= 1
    originals = {i: torch.from_numpy(fit_clip(still.clips[i], INPUTS[0])) for i in range(4)}
    order = [next(i for i in range(4) if np.array_equal(still.sounds[i], s)) for s in heard.numpy()]
    assert all((seen[k] - originals[i]).abs().max() > 0.01 for k, i in enumerate(order))  # turned
    quadrupled = list(task(batch_size=18).batches(0, 0, Processes()))
    assert [len(b.targets) for b in quadrupled] == [72]


def test_a_training_that_was_interrupted_ends_the_same(tmp_path):
    def stop(event):
        if isinstance(event, EpochDone) and event.row["epoch"] == 2:
            raise KeyboardInterrupt

    whole = Loop(task(), tmp_path / "whole")
    history = whole.run()
    with pytest.raises(KeyboardInterrupt):
        Loop(task(), tmp_path / "parts").run(stop)
    again = task()
    resumed = Loop(again, tmp_path / "parts")
    assert len(resumed.history) == 2
    resumed.run()
    assert same(resumed.model, whole.model)
    assert all(torch.equal(again.last[name], whole.task.last[name]) for name in again.last)
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in history]
    assert [row["valid_accuracy"] for row in history] == [row["valid_accuracy"] for row in resumed.history]
    with pytest.raises(EmotionError, match="settings differ: dropout zerodrop -> nodrop"):
        Loop(task(dropout="nodrop"), tmp_path / "parts")
    other = AudiovisualTask(again.config, replace(clips(18), sounds=clips(18).sounds + 1), clips(9, 1))
    with pytest.raises(EmotionError, match="the training clips are others"):
        Loop(other, tmp_path / "parts")


def test_tasks_that_cannot_be_say_why():
    config = AudiovisualTrainingConfig(model=SMALL)
    with pytest.raises(EmotionError, match="no clips to learn from"):
        AudiovisualTask(config, clips(0))
    with pytest.raises(EmotionError, match="the network has 3 classes, the data 4"):
        AudiovisualTask(config, replace(clips(6), labels=("a", "b", "c", "d")))
    with pytest.raises(EmotionError, match="validation clips must have the same labels"):
        AudiovisualTask(config, clips(6), replace(clips(6), labels=("calm", "happy", "fear")))
    with pytest.raises(EmotionError, match="is of another architecture"):
        AudiovisualTask(config, clips(6), None, Audiovisual(replace(SMALL, fusion="it")))
    for change, message in (({"dropout": "drop"}, "unknown dropout"), ({"eval_mode": "x"}, "unknown mode"),
                            ({"lr_steps": (0,)}, "lr_steps"), ({"dampening": 2.0}, "dampening")):  # fmt: skip
        with pytest.raises(EmotionError, match=message):
            AudiovisualTrainingConfig(**change)
