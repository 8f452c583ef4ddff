"""The outputs of a network and their predicted classes.

Beside its K pathways a network has two outputs that merge them without labels: `merged` (the method's own
merge of the logits) and `softmax average` (the mean of the pathways' probabilities). One of all these is
primary: the last exit of a chain, else the merge.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.models.contract import Network

MERGED, SOFTMAX_AVERAGE = "merged", "softmax average"


def output_names(network: Network) -> list[str]:
    """Names of the K + 2 outputs, in the order of `predicted_classes`."""
    return [*network.names, MERGED, SOFTMAX_AVERAGE]


def primary_output(network: Network) -> str:
    """The name of the output that speaks for the network."""
    return network.names[-1] if network.primary == "last" else MERGED


@torch.inference_mode()
def predicted_classes(method: Method, batches: Iterable[Tensor]) -> Tensor:
    """Predicted class of every output for every image, int64 [K + 2, N]; leaves the method in eval mode."""
    method.eval()
    found = []
    for images in batches:
        logits = method.logits(images).float()
        merged = method.predict(logits).argmax(dim=1, keepdim=True).T
        average = logits.softmax(dim=2).mean(dim=0).argmax(dim=1, keepdim=True).T
        found.append(torch.cat([logits.argmax(dim=2), merged, average]))
    return torch.cat(found, dim=1)


def correct(predictions: Tensor, labels: Tensor) -> Tensor:
    """Number of right predictions per output, int64 [K + 2], from [K + 2, N] and [N]."""
    return (predictions == labels).sum(dim=1)
