"""What the authors of the Residual Masking Network report for the networks that they compare on FER2013.

Pham, Vu, Tran: Facial Expression Recognition Using Residual Masking Network. ICPR 2020.
https://github.com/phamquiluan/ResidualMaskingNetwork
"""

from __future__ import annotations

from types import MappingProxyType

FER2013_TEST = MappingProxyType(
    {
        "vgg19": 70.80,
        "efficientnet_b2b": 70.80,
        "googlenet": 71.97,
        "resnet34": 72.42,
        "inception_v3": 72.72,
        "bam_resnet50": 73.14,
        "densenet121": 73.16,
        "resnet152": 73.22,
        "cbam_resnet50": 73.39,
        "resmasking_dropout1": 74.14,
    }
)
"""Accuracy on the private test split, in percent, by the names of the presets here; the Residual Masking Network's is with
test-time augmentation, of the others the table does not say. Seven networks together: 76.82."""
