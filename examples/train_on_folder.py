"""Train an ensemble on your own faces, measure it, and use it: a folder of pictures for each class.

python examples/train_on_folder.py faces runs/mine     # reads faces/train/CLASS/*.jpg and faces/valid/CLASS/*.jpg
"""

import sys
from pathlib import Path

from emotion_core.data.folder import load_folder
from emotion_core.learners.facial import FacialEmotionLearner
from emotion_core.models.esr import PRESETS


def main(faces: str, out: str, epochs: str = "10") -> None:
    """Train two branches of the narrow network that the authors of ESR use for small datasets."""
    train, valid = load_folder(Path(faces) / "train"), load_folder(Path(faces) / "valid")
    learner = FacialEmotionLearner(
        device="cpu",
        architecture=PRESETS["esr4_ckplus"],
        ensemble_size=2,
        labels=train.labels,
        categorical_train=True,
        dimensional_finetune=False,
        max_training_epoch=int(epochs),
        base_path_experiment=out,
        temp_path=str(Path(out) / "exported"),
        name_experiment="mine",
    )
    learner.fit(train, valid)  # stopped and started again, it goes on from the last epoch
    print(f"accuracy {learner.eval(dataset=valid)['accuracy']:.1f} % on {len(valid)} faces")
    learner.optimize()  # an ONNX network, compared with the original by value; infer() now uses it
    category, _ = learner.infer(valid.face(0))
    print(f"the first face: {category.description}, {category.confidence:.0%}")
    print(f"saved in {learner.save(path=Path(out) / 'network')}: mine.onnx runs in the node, -p model:=…/mine.onnx")


if __name__ == "__main__":
    main(*sys.argv[1:])
