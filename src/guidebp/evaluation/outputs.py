"""The outputs of a method's network and their predicted classes.

In addition to its K pathways a network has two outputs that merge them without labels. `merged` is the method's own
merge of the logits; `softmax average` is the mean of the pathways' probabilities. One of all these outputs is
primary: the last exit of a chain, else the merge.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from guidebp.methods.contract import Method

MERGED, SOFTMAX_AVERAGE = "merged", "softmax average"


def list_output_names(method: Method) -> list[str]:
    """Return the names of the K + 2 outputs, in the order of `predict_output_classes`."""
    return [*method.pathway_names, MERGED, SOFTMAX_AVERAGE]


def find_primary_output(method: Method) -> str:
    """Return the name of the primary output, whose accuracy counts as the network's."""
    return method.pathway_names[-1] if method.primary == "last" else MERGED


@torch.inference_mode()
def compute_logits(method: Method, batches: Iterable[Tensor]) -> Tensor:
    """Return the logits of every pathway and image, float32 [K, N, classes]; the method stays in eval mode."""
    method.eval()
    return torch.cat([method.logits(images).float() for images in batches], dim=1)


@torch.inference_mode()
def compute_output_probabilities(method: Method, logits: Tensor) -> Tensor:
    """Return the probabilities of every output, float32 [K + 2, N, classes], from the logits [K, N, classes]."""
    alone = logits.softmax(dim=2)
    merged = method.predict(logits).float().softmax(dim=1)
    return torch.cat([alone, merged.unsqueeze(0), alone.mean(dim=0, keepdim=True)])


@torch.inference_mode()
def predict_output_classes(method: Method, logits: Tensor) -> Tensor:
    """Return the predicted class of every output for every image, int64 [K + 2, N]."""
    merged = method.predict(logits).argmax(dim=1)
    average = logits.softmax(dim=2).mean(dim=0).argmax(dim=1)
    return torch.cat([logits.argmax(dim=2), torch.stack([merged, average])])


def count_correct(predictions: Tensor, labels: Tensor) -> Tensor:
    """Return the number of correct predictions per output, int64 [K + 2].

    Predictions are [K + 2, N] and labels [N].
    """
    return (predictions == labels).sum(dim=1)
