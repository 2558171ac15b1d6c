"""Stable Diffusion UNets and the ControlNets made of them, in LDM and in diffusers names, from a configuration's numbers."""

from notation import Listing, span


def spatial(x: Listing, name: str, width: int, depth: int, context: int | None, linear: bool) -> None:
    x.norm(f"{name}.norm", width)
    if linear:
        x.linear(f"{name}.proj_in", width, width).linear(f"{name}.proj_out", width, width)
    else:
        x.conv(f"{name}.proj_in", width, width, 1, 1).conv(f"{name}.proj_out", width, width, 1, 1)
    block = f"{name}.transformer_blocks.{span(depth)}"
    x.norm(f"{block}.norm{{1-3}}", width)
    x.tensor(f"{block}.attn1.to_{{q,k,v}}.weight", width, width)
    x.tensor(f"{block}.attn2.to_q.weight", width, width)
    x.tensor(f"{block}.attn2.to_{{k,v}}.weight", width, context or width)
    x.linear(f"{block}.attn{{1,2}}.to_out.0", width, width)
    x.linear(f"{block}.ff.net.0.proj", 8 * width, width).linear(f"{block}.ff.net.2", width, 4 * width)


def resnet_ldm(x: Listing, name: str, inputs: int, outputs: int, time: int) -> None:
    x.norm(f"{name}.in_layers.0", inputs).conv(f"{name}.in_layers.2", outputs, inputs, 3, 3)
    x.linear(f"{name}.emb_layers.1", outputs, time)
    x.norm(f"{name}.out_layers.0", outputs).conv(f"{name}.out_layers.3", outputs, outputs, 3, 3)
    if inputs != outputs:
        x.conv(f"{name}.skip_connection", outputs, inputs, 1, 1)


def resnet_diffusers(x: Listing, name: str, inputs: int, outputs: int, time: int) -> None:
    x.norm(f"{name}.norm1", inputs).conv(f"{name}.conv1", outputs, inputs, 3, 3)
    x.linear(f"{name}.time_emb_proj", outputs, time)
    x.norm(f"{name}.norm2", outputs).conv(f"{name}.conv2", outputs, outputs, 3, 3)
    if inputs != outputs:
        x.conv(f"{name}.conv_shortcut", outputs, inputs, 1, 1)


def unet(
    naming: str,
    width: int = 320,
    mult: tuple[int, ...] = (1, 2, 4, 4),
    down: tuple[tuple[int, ...], ...] = ((1, 1), (1, 1), (1, 1), (0, 0)),
    up: tuple[tuple[int, ...], ...] | None = None,
    middle: int = 1,
    context: int | None = 768,
    linear: bool = False,
    channels: int = 4,
    added: int | None = None,
    out: int = 4,
    control: bool = False,
) -> Listing:
    """A Stable Diffusion UNet. `down` holds, level by level, the transformer depth behind each residual block; `up` the
    same in the order of the way up; `middle` is -1 for a middle of residual blocks only and -2 for none."""
    ldm = naming == "ldm"
    x, time = Listing(), 4 * width
    resnet = resnet_ldm if ldm else resnet_diffusers
    x.conv("input_blocks.0.0" if ldm else "conv_in", width, channels, 3, 3)
    names = ("time_embed.0", "time_embed.2") if ldm else ("time_embedding.linear_1", "time_embedding.linear_2")
    x.linear(names[0], time, width).linear(names[1], time, time)
    if added:
        names = ("label_emb.0.0", "label_emb.0.2") if ldm else ("add_embedding.linear_1", "add_embedding.linear_2")
        x.linear(names[0], time, added).linear(names[1], time, time)
    skips, index, before = [width], 0, width
    for level, depths in enumerate(down):
        outputs = width * mult[level]
        for slot, depth in enumerate(depths):
            index += 1
            resnet(x, f"input_blocks.{index}.0" if ldm else f"down_blocks.{level}.resnets.{slot}", before, outputs, time)
            if depth:
                name = f"input_blocks.{index}.1" if ldm else f"down_blocks.{level}.attentions.{slot}"
                spatial(x, name, outputs, depth, context, linear)
            before = outputs
            skips.append(outputs)
        if level + 1 < len(down):
            index += 1
            x.conv(f"input_blocks.{index}.0.op" if ldm else f"down_blocks.{level}.downsamplers.0.conv", outputs, outputs, 3, 3)
            skips.append(outputs)
    if middle > -2:
        resnet(x, "middle_block.0" if ldm else "mid_block.resnets.0", before, before, time)
        if middle > 0:
            spatial(x, "middle_block.1" if ldm else "mid_block.attentions.0", before, middle, context, linear)
            resnet(x, "middle_block.2" if ldm else "mid_block.resnets.1", before, before, time)
    if control:
        return x
    index = 0
    up = up or tuple(tuple([level[-1]] * (len(level) + 1)) for level in reversed(down))
    for level, depths in enumerate(up):
        outputs = width * mult[len(down) - 1 - level]
        for slot, depth in enumerate(depths):
            name = f"output_blocks.{index}.0" if ldm else f"up_blocks.{level}.resnets.{slot}"
            resnet(x, name, before + skips.pop(), outputs, time)
            if depth:
                name = f"output_blocks.{index}.1" if ldm else f"up_blocks.{level}.attentions.{slot}"
                spatial(x, name, outputs, depth, context, linear)
            before = outputs
            index += 1
        if level + 1 < len(down):
            place = f"output_blocks.{index - 1}.{2 if depths[-1] else 1}.conv" if ldm else f"up_blocks.{level}.upsamplers.0.conv"
            x.conv(place, outputs, outputs, 3, 3)
    x.norm("out.0" if ldm else "conv_norm_out", width).conv("out.2" if ldm else "conv_out", out, width, 3, 3)
    return x


def control_ldm(**config) -> Listing:
    x = unet("ldm", control=True, **config)
    sizes = [16, 16, 32, 32, 96, 96, 256, 320]
    x.conv("input_hint_block.0", 16, 3, 3, 3)
    for index in range(1, len(sizes)):
        x.conv(f"input_hint_block.{2 * index}", sizes[index], sizes[index - 1], 3, 3)
    for index, width in enumerate([320, 320, 320, 320, 640, 640, 640, 1280, 1280, 1280, 1280, 1280]):
        x.conv(f"zero_convs.{index}.0", width, width, 1, 1)
    return x.conv("middle_block_out.0", 1280, 1280, 1, 1)


def control_diffusers(zero: list[int], **config) -> Listing:
    x = unet("diffusers", control=True, **config)
    x.conv("controlnet_cond_embedding.conv_in", 16, 3, 3, 3)
    sizes = [16, 16, 32, 32, 96, 96, 256]
    for index in range(6):
        x.conv(f"controlnet_cond_embedding.blocks.{index}", sizes[index + 1], sizes[index], 3, 3)
    x.conv("controlnet_cond_embedding.conv_out", 320, 256, 3, 3)
    for index, width in enumerate(zero):
        x.conv(f"controlnet_down_blocks.{index}", width, width, 1, 1)
    x.conv("controlnet_mid_block", zero[-1], zero[-1], 1, 1)
    return x
