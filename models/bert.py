"""BERT (Devlin et al., NAACL 2019) from a configuration, with random weights."""

from typing import Any

import torch
from torch import Tensor, nn

from nfcompile.models.network import Network, seeded, transformers

__all__ = ["Bert", "bert", "bert_base"]


class Bert(nn.Module):
    """The encoder, from token ids to the hidden states of the last layer."""

    def __init__(self, config: Any) -> None:
        """Makes the encoder of a `transformers.BertConfig`."""
        super().__init__()
        self.model = transformers().BertModel(config, add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Maps int64 `[N, tokens]`, three times, to `[N, tokens, hidden]`."""
        y: Tensor = self.model(input_ids, attention_mask, token_type_ids).last_hidden_state
        return y


def bert(
    *,
    layers: int,
    hidden: int,
    heads: int,
    intermediate: int,
    vocabulary: int = 30_522,
    tokens: int = 128,
    seed: int = 0,
) -> Network:
    """An encoder whose batch and number of tokens may vary.

    Args:
        layers: Number of layers.
        hidden: Width between layers.
        heads: Heads of the attention, which divide `hidden`.
        intermediate: Width of the feed-forward parts.
        vocabulary: Number of token ids.
        tokens: Of the example inputs, whose second row ends in padding.
        seed: Of weights and example inputs.

    Raises:
        EngineMissingError: If transformers is not installed.
    """
    config = transformers().BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        vocab_size=vocabulary,
        attn_implementation="eager",
    )
    ids = torch.randint(vocabulary, (2, tokens), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, 3 * tokens // 4 :] = 0
    types = (torch.arange(tokens) >= tokens // 2).long().expand(2, -1).contiguous()
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    shapes = {name: {0: "batch", 1: "tokens"} for name in inputs}
    return Network(seeded(lambda: Bert(config), seed), inputs, shapes)


def bert_base() -> Network:
    """BERT-base: 12 layers of 768, 12 heads, 3072 in between."""
    return bert(layers=12, hidden=768, heads=12, intermediate=3072)
