"""The paper's two objectives (section 3), the schedule of the number of in-batch negatives, and the loss of the kit's own pretraining."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def match_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Binary cross entropy of the match head: logits (n, 2), matches (n,) 1 for a true pair and 0 for a pair with a replaced image or caption.

    The softmax over two labels is the published parameterisation of the paper's L_CE (section 3.1).
    """
    return F.cross_entropy(logits, matches)


def triplet_loss(images: Tensor, captions: Tensor, no_negative: Tensor, negatives: int, margin: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """In-batch hard negatives (BHN, section 3.2, equation 2) in both directions.

    images, captions: embeddings (n, width) of n matching pairs. no_negative: bool (n captions, n images), True where the caption describes the image
    (the diagonal always). For each anchor, N = `negatives` of the others in the batch are drawn at random and the closest of them is its negative.
    Loss = mean over pairs of [cos(i, c') - cos(i, c) + margin]+ + [cos(i', c) - cos(i, c) + margin]+.
    Returns the loss and the share of anchors whose positive is closer than their negative.
    """
    similarity = cosines(captions, images)
    positive = similarity.diagonal()
    hardest = torch.stack([_hardest(similarity, no_negative, negatives, generator),       # caption anchors: the closest wrong image
                           _hardest(similarity.T, no_negative.T, negatives, generator)])  # image anchors: the closest wrong caption
    loss = (hardest - positive + margin).clamp_min(0).sum(0).mean()
    return loss, float((positive > hardest).float().mean())


def mined_triplet_loss(images: Tensor, captions: Tensor, wrong_images: Tensor, wrong_captions: Tensor, margin: float) -> Tensor:
    """Equation 2 with one given negative an anchor instead of in-batch ones (footnote 12): wrong_images[i] of captions[i], wrong_captions[i] of images[i].

    All embeddings (n, width).
    """
    positive = F.cosine_similarity(captions, images)
    negative = torch.stack([F.cosine_similarity(captions, wrong_images), F.cosine_similarity(images, wrong_captions)])
    return (negative - positive + margin).clamp_min(0).sum(0).mean()


def cosines(captions: Tensor, images: Tensor) -> Tensor:
    """Cosine of every caption with every image, (captions, images); float32 in mixed precision too, where near neighbours would otherwise tie."""
    with torch.autocast(captions.device.type, enabled=False):
        return F.normalize(captions.float(), dim=-1) @ F.normalize(images.float(), dim=-1).T


def _hardest(similarity: Tensor, excluded: Tensor, negatives: int, generator: torch.Generator) -> Tensor:
    """Per row the largest similarity among `negatives` random columns that are not excluded, (n,); -inf where a row has no negative."""
    chance = torch.rand(similarity.shape, generator=generator).to(similarity.device).masked_fill(excluded, -1.0)
    threshold = chance.topk(min(negatives, chance.shape[1]), dim=1).values[:, -1:]
    return similarity.masked_fill(excluded | (chance < threshold), float("-inf")).amax(1)


def contrastive_loss(images: Tensor, captions: Tensor, no_negative: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each caption's image, and each image's caption, among the batch by cosine / temperature (InfoNCE).

    Shapes as in `triplet_loss`. Only the kit's own pretraining uses it, never a method of the paper.
    """
    other = no_negative & ~torch.eye(len(images), dtype=torch.bool, device=images.device)
    logits = (cosines(captions, images) / temperature).masked_fill(other, float("-inf"))
    target = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@dataclass
class NegativeSchedule:
    """How many random negatives N each anchor chooses its hardest from.

    The paper leaves N open. The hardest of the whole batch from the first step makes small models collapse (all embeddings alike: the loss stays at twice
    the margin), so the kit can let N grow: a moving average of the share of anchors whose positive beats their negative; above `threshold` N is multiplied
    by `growth`, else by `decay`. A departure from the paper, stated wherever it is used. `adaptive=False` keeps N at `fixed`, or at batch - 1 where that is 0.
    """

    adaptive: bool = True
    fixed: int = 0
    threshold: float = 0.6
    growth: float = 1.03
    decay: float = 0.99
    memory: float = 0.9
    size: float = 1.0
    share: float = 0.5

    def count(self, batch_size: int) -> int:
        """N for a batch of this size."""
        if self.adaptive:
            return max(1, min(round(self.size), batch_size - 1))
        return min(self.fixed or batch_size - 1, batch_size - 1)

    def update(self, share: float, batch_size: int) -> None:
        """Take in the share that `triplet_loss` returned."""
        self.share = self.memory * self.share + (1 - self.memory) * share
        self.size = min(max(self.size * (self.growth if self.share > self.threshold else self.decay), 1.0), batch_size - 1)
