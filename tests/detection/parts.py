"""Tensor listings of everything that is no denoising network: text encoders, VAEs, upscalers, adapters, and files that
have nothing to do with painting. The notation is that of `notation.py`."""

import re

from notation import Listing, span
from transformers import flux_diffusers, flux_double, qwen_image, sd3_diffusers

# --- Text encoders ---------------------------------------------------------------------------------------------------


def clip(width: int, layers: int, tokens: int = 49408, positions: int = 77, projection: int | None = None) -> Listing:
    t = "text_model"
    x = Listing().tensor(f"{t}.embeddings.token_embedding.weight", tokens, width).tensor(f"{t}.embeddings.position_embedding.weight", positions, width)
    b = f"{t}.encoder.layers.{span(layers)}"
    x.linear(f"{b}.self_attn.{{q,k,v,out}}_proj", width, width).norm(f"{b}.layer_norm{{1,2}}", width).linear(f"{b}.mlp.fc1", 4 * width, width).linear(f"{b}.mlp.fc2", width, 4 * width)
    x.norm(f"{t}.final_layer_norm", width)
    return x.tensor("text_projection.weight", projection, projection) if projection else x


def open_clip(width: int, layers: int) -> Listing:
    x = Listing().tensor("token_embedding.weight", 49408, width).tensor("positional_embedding", 77, width).tensor("text_projection", width, width).tensor("logit_scale").norm("ln_final", width)
    b = f"transformer.resblocks.{span(layers)}"
    x.tensor(f"{b}.attn.in_proj_weight", 3 * width, width).tensor(f"{b}.attn.in_proj_bias", 3 * width).linear(f"{b}.attn.out_proj", width, width)
    return x.norm(f"{b}.ln_{{1,2}}", width).linear(f"{b}.mlp.c_fc", 4 * width, width).linear(f"{b}.mlp.c_proj", width, 4 * width)


def clip_vision(width: int, layers: int, patch: int, mlp: int, projection: int) -> Listing:
    v = "vision_model"
    x = Listing().tensor(f"{v}.embeddings.class_embedding", width).conv(f"{v}.embeddings.patch_embedding", width, 3, patch, patch, bias=False).tensor(f"{v}.embeddings.position_embedding.weight", 257, width)
    b = f"{v}.encoder.layers.{span(layers)}"
    x.linear(f"{b}.self_attn.{{q,k,v,out}}_proj", width, width).norm(f"{b}.layer_norm{{1,2}}", width).linear(f"{b}.mlp.fc1", mlp, width).linear(f"{b}.mlp.fc2", width, mlp)
    return x.norm(f"{v}.pre_layrnorm", width).norm(f"{v}.post_layernorm", width).tensor("visual_projection.weight", projection, width)


def t5(width: int, layers: int, ff: int, vocabulary: int, heads: int, per_layer_bias: bool = False, inner: int | None = None) -> Listing:
    inner = inner or width
    x = Listing().tensor("shared.weight", vocabulary, width)
    b = f"encoder.block.{span(layers)}.layer"
    x.linear(f"{b}.0.SelfAttention.{{q,k,v}}", inner, width, False).linear(f"{b}.0.SelfAttention.o", width, inner, False)
    x.tensor(f"encoder.block.{span(layers) if per_layer_bias else 0}.layer.0.SelfAttention.relative_attention_bias.weight", 32, heads)
    x.tensor(f"{b}.{{0,1}}.layer_norm.weight", width).linear(f"{b}.1.DenseReluDense.wi_{{0,1}}", ff, width, False).linear(f"{b}.1.DenseReluDense.wo", width, ff, False)
    return x.tensor("encoder.final_layer_norm.weight", width)


def t5_gguf(width: int, layers: int, ff: int, vocabulary: int, heads: int) -> Listing:
    x = Listing().tensor("token_embd.weight", vocabulary, width).tensor("enc.output_norm.weight", width).tensor("enc.blk.0.attn_rel_b.weight", 32, heads)
    b = f"enc.blk.{span(layers)}"
    x.linear(f"{b}.attn_{{q,k,v,o}}", width, width, False).tensor(f"{b}.{{attn,ffn}}_norm.weight", width)
    return x.linear(f"{b}.ffn_{{gate,up}}", ff, width, False).linear(f"{b}.ffn_down", width, ff, False)


def decoder_lm(width: int, layers: int, ff: int, vocabulary: int, queries: int, keys: int, head: int, prefix: str = "model.", bias: bool = False, qk_norm: bool = False,
               lm_head: bool = False, norms: str = "{input_layernorm,post_attention_layernorm}") -> Listing:
    x = Listing().tensor(f"{prefix}embed_tokens.weight", vocabulary, width).tensor(f"{prefix}norm.weight", width)
    b = f"{prefix}layers.{span(layers)}"
    x.linear(f"{b}.self_attn.q_proj", queries, width, bias).linear(f"{b}.self_attn.{{k,v}}_proj", keys, width, bias).linear(f"{b}.self_attn.o_proj", width, queries, False)
    if qk_norm:
        x.tensor(f"{b}.self_attn.{{q,k}}_norm.weight", head)
    x.tensor(f"{b}.{norms}.weight", width).linear(f"{b}.mlp.{{gate,up}}_proj", ff, width, False).linear(f"{b}.mlp.down_proj", width, ff, False)
    return x.tensor("lm_head.weight", vocabulary, width) if lm_head else x


def llm_gguf(width: int, layers: int, ff: int, vocabulary: int, keys: int) -> Listing:
    x = Listing().tensor("token_embd.weight", vocabulary, width).tensor("output_norm.weight", width).tensor("output.weight", vocabulary, width)
    b = f"blk.{span(layers)}"
    x.linear(f"{b}.attn_{{q,output}}", width, width, False).linear(f"{b}.attn_{{k,v}}", keys, width, False).tensor(f"{b}.{{attn,ffn}}_norm.weight", width)
    return x.linear(f"{b}.ffn_{{gate,up}}", ff, width, False).linear(f"{b}.ffn_down", width, ff, False)


# --- VAEs ------------------------------------------------------------------------------------------------------------


def kl_vae_ldm(latents: int, quant: bool, double: bool = True) -> Listing:
    x = Listing().conv("encoder.conv_in", 128, 3, 3, 3)
    for level, (inputs, outputs) in enumerate(((128, 128), (128, 256), (256, 512), (512, 512))):
        x.norm(f"encoder.down.{level}.block.0.norm1", inputs).conv(f"encoder.down.{level}.block.0.conv1", outputs, inputs, 3, 3).norm(f"encoder.down.{level}.block.0.norm2", outputs)
        x.conv(f"encoder.down.{level}.block.0.conv2", outputs, outputs, 3, 3).conv(f"encoder.down.{level}.block.1.conv{{1,2}}", outputs, outputs, 3, 3).norm(f"encoder.down.{level}.block.1.norm{{1,2}}", outputs)
        if inputs != outputs:
            x.conv(f"encoder.down.{level}.block.0.nin_shortcut", outputs, inputs, 1, 1)
    x.conv("encoder.down.{0-2}.downsample.conv", 512, 512, 3, 3).norm("encoder.norm_out", 512).conv("encoder.conv_out", 2 * latents if double else latents, 512, 3, 3)
    x.conv("{encoder,decoder}.mid.block_{1,2}.conv{1,2}", 512, 512, 3, 3).norm("{encoder,decoder}.mid.block_{1,2}.norm{1,2}", 512)
    x.conv("{encoder,decoder}.mid.attn_1.{q,k,v,proj_out}", 512, 512, 1, 1).norm("{encoder,decoder}.mid.attn_1.norm", 512)
    x.conv("decoder.conv_in", 512, latents, 3, 3)
    for level, (inputs, outputs) in enumerate(((256, 128), (512, 256), (512, 512), (512, 512))):
        x.conv(f"decoder.up.{level}.block.0.conv1", outputs, inputs, 3, 3).conv(f"decoder.up.{level}.block.{{1,2}}.conv{{1,2}}", outputs, outputs, 3, 3)
    x.norm("decoder.norm_out", 128).conv("decoder.conv_out", 3, 128, 3, 3)
    if quant:
        x.conv("quant_conv", 2 * latents, 2 * latents, 1, 1).conv("post_quant_conv", latents, latents, 1, 1)
    return x


def kl_vae_diffusers(latents: int, quant: bool) -> Listing:
    x = Listing().conv("encoder.conv_in", 128, 3, 3, 3)
    for level, (inputs, outputs) in enumerate(((128, 128), (128, 256), (256, 512), (512, 512))):
        x.conv(f"encoder.down_blocks.{level}.resnets.0.conv1", outputs, inputs, 3, 3).norm(f"encoder.down_blocks.{level}.resnets.0.norm1", inputs)
        x.conv(f"encoder.down_blocks.{level}.resnets.1.conv{{1,2}}", outputs, outputs, 3, 3)
    x.norm("encoder.conv_norm_out", 512).conv("encoder.conv_out", 2 * latents, 512, 3, 3).conv("decoder.conv_in", 512, latents, 3, 3)
    x.conv("{encoder,decoder}.mid_block.resnets.{0,1}.conv{1,2}", 512, 512, 3, 3).linear("{encoder,decoder}.mid_block.attentions.0.{to_q,to_k,to_v,to_out.0}", 512, 512)
    x.norm("{encoder,decoder}.mid_block.attentions.0.group_norm", 512)
    for level, (inputs, outputs) in enumerate(((512, 512), (512, 512), (512, 256), (256, 128))):
        x.conv(f"decoder.up_blocks.{level}.resnets.0.conv1", outputs, inputs, 3, 3).conv(f"decoder.up_blocks.{level}.resnets.{{1,2}}.conv{{1,2}}", outputs, outputs, 3, 3)
    x.norm("decoder.conv_norm_out", 128).conv("decoder.conv_out", 3, 128, 3, 3)
    if quant:
        x.conv("quant_conv", 2 * latents, 2 * latents, 1, 1).conv("post_quant_conv", latents, latents, 1, 1)
    return x


def wan_vae(latents: int, encoder: int, decoder: int) -> Listing:
    x = Listing().conv("conv1", 2 * latents, 2 * latents, 1, 1, 1).conv("conv2", latents, latents, 1, 1, 1)
    x.conv("encoder.conv1", encoder, 3 if latents == 16 else 12, 3, 3, 3).conv("decoder.conv1", 4 * decoder, latents, 3, 3, 3)
    for side, dim in (("encoder", encoder), ("decoder", decoder)):
        x.tensor(f"{side}.middle.{{0,2}}.residual.{{0,3}}.gamma", 4 * dim, 1, 1, 1).conv(f"{side}.middle.{{0,2}}.residual.{{2,6}}", 4 * dim, 4 * dim, 3, 3, 3)
        x.tensor(f"{side}.middle.1.norm.gamma", 4 * dim, 1, 1).conv(f"{side}.middle.1.to_qkv", 12 * dim, 4 * dim, 1, 1).conv(f"{side}.middle.1.proj", 4 * dim, 4 * dim, 1, 1)
    # The larger one nests the blocks of a level once more.
    first = ("encoder.downsamples.0.residual", "decoder.upsamples.0.residual") if latents == 16 else ("encoder.downsamples.0.downsamples.0.residual", "decoder.upsamples.0.upsamples.0.residual")
    x.tensor(f"{first[0]}.0.gamma", encoder, 1, 1, 1).tensor(f"{first[1]}.0.gamma", 4 * decoder, 1, 1, 1)
    x.tensor("encoder.head.0.gamma", 4 * encoder, 1, 1, 1).conv("encoder.head.2", 2 * latents, 4 * encoder, 3, 3, 3)
    return x.tensor("decoder.head.0.gamma", decoder, 1, 1, 1).conv("decoder.head.2", 3 if latents == 16 else 12, decoder, 3, 3, 3)


def ltx_vae() -> Listing:
    x = Listing().conv("encoder.conv_in.conv", 128, 48, 3, 3, 3).conv("decoder.conv_in.conv", 512, 128, 3, 3, 3).tensor("per_channel_statistics.{mean-of-means,std-of-means}", 128)
    return x.conv("decoder.up_blocks.0.res_blocks.{0-3}.conv{1,2}.conv", 512, 512, 3, 3, 3).conv("encoder.down_blocks.0.res_blocks.{0-3}.conv{1,2}.conv", 128, 128, 3, 3, 3).conv("encoder.conv_out.conv", 129, 512, 3, 3, 3)


def dc_ae() -> Listing:
    x = Listing().conv("encoder.project_in.conv", 128, 3, 3, 3).conv("decoder.project_in.main.conv", 1024, 32, 3, 3)
    return x.conv("decoder.stages.{0-2}.op_list.{0-2}.main.conv1.conv", 128, 128, 3, 3).conv("encoder.stages.{0-2}.op_list.{0,1}.main.conv1.conv", 128, 128, 3, 3).conv("encoder.project_out.main.op_list.0.conv", 32, 1024, 3, 3)


def taesd(encoder: str | None, decoder: str | None, latents: int = 4) -> Listing:
    """One half or both, in the author's names: numbers of a row that has layers without weights in it."""
    x = Listing()
    if encoder is not None:
        x.conv(f"{encoder}0", 64, 3, 3, 3).conv(f"{encoder}{{1,3,4,5,7,8,9,11,12,13}}.conv.{{0,2,4}}", 64, 64, 3, 3)
        x.conv(f"{encoder}{{2,6,10}}", 64, 64, 3, 3, bias=False).conv(f"{encoder}14", latents, 64, 3, 3)
    if decoder is not None:
        x.conv(f"{decoder}1", 64, latents, 3, 3).conv(f"{decoder}{{3,4,5,8,9,10,13,14,15,18}}.conv.{{0,2,4}}", 64, 64, 3, 3)
        x.conv(f"{decoder}{{7,12,17}}", 64, 64, 3, 3, bias=False).conv(f"{decoder}19", 3, 64, 3, 3)
    return x


def stage_a() -> Listing:
    x = Listing().conv("in_block.1", 192, 12, 1, 1).conv("out_block.0", 12, 192, 1, 1).tensor("down_blocks.{0,2}.gammas", 6).tensor("up_blocks.{1-12}.gammas", 6)
    return x.tensor("vquantizer.codebook.weight", 8192, 4).conv("down_blocks.0.depthwise.1", 192, 1, 3, 3).conv("up_blocks.0.0", 384, 4, 1, 1)


# --- ControlNets of transformers, other adapters ---------------------------------------------------------------------


def flux_control(depth: int, single: int, union: bool, hint: bool = False) -> Listing:
    x = flux_diffusers(depth=depth, single=single or 1)
    x.lines = [line for line in x.lines if not line.startswith(("norm_out", "proj_out")) and (single or not line.startswith("single_"))]
    x.linear("controlnet_x_embedder", 3072, 64).linear(f"controlnet_blocks.{span(depth)}", 3072, 3072)
    if single:
        x.linear(f"controlnet_single_blocks.{span(single)}", 3072, 3072)
    return x.tensor("controlnet_mode_embedder.weight", 10, 3072) if union else x


def flux_control_xlabs() -> Listing:
    x = Listing().linear("img_in", 3072, 64).linear("txt_in", 3072, 4096).linear("time_in.in_layer", 3072, 256).linear("vector_in.in_layer", 3072, 768).linear("guidance_in.in_layer", 3072, 256)
    flux_double(x, 2, 3072, 12288, "lin", "scale", True, False)
    x.linear("controlnet_blocks.{0,1}", 3072, 3072).linear("pos_embed_input", 3072, 64).conv("input_hint_block.0", 16, 3, 3, 3)
    return x.conv("input_hint_block.{2,4,6,8,10,12}", 16, 16, 3, 3)


def sd3_control(width: int, layers: int) -> Listing:
    x = sd3_diffusers(width, 36864, layers=layers)
    x.lines = [line for line in x.lines if not line.startswith(("norm_out", "proj_out"))]
    return x.linear(f"controlnet_blocks.{span(layers)}", width, width).conv("pos_embed_input.proj", width, 16, 2, 2)


def qwen_control(layers: int) -> Listing:
    x = qwen_image(layers)
    x.lines = [line for line in x.lines if not line.startswith(("norm_out", "proj_out"))]
    return x.linear("controlnet_x_embedder", 3072, 64).linear(f"controlnet_blocks.{span(layers)}", 3072, 3072)


def z_image_control() -> Listing:
    x = Listing().linear("control_all_x_embedder.2-1", 3840, 64)
    b = "control_layers.{0-5}"
    x.linear(f"{b}.attention.{{to_q,to_k,to_v,to_out.0}}", 3840, 3840, False).tensor(f"{b}.attention.norm_{{q,k}}.weight", 128).linear(f"{b}.adaLN_modulation.0", 4 * 3840, 256)
    return x.linear(f"{b}.after_proj", 3840, 3840).linear("control_layers.0.before_proj", 3840, 3840).linear(f"{b}.feed_forward.w{{1,3}}", 10240, 3840, False).linear(f"{b}.feed_forward.w2", 3840, 10240, False)


def t2i_adapter() -> Listing:
    widths = (320, 640, 1280, 1280)
    x = Listing().conv("conv_in", 320, 192, 3, 3)
    for index in range(8):
        width = widths[index // 2]
        x.conv(f"body.{index}.block1", width, width, 3, 3).conv(f"body.{index}.block2", width, width, 1, 1)
    return x


def ip_adapter(context: int, blocks: int, plus: bool, width: int) -> Listing:
    x = Listing()
    if plus:
        x.tensor("image_proj.latents", 1, 16, width).linear("image_proj.proj_in", width, 1280).linear("image_proj.proj_out", context, width).norm("image_proj.norm_out", context)
    else:
        x.linear("image_proj.proj", 4 * context, 1280 if context == 2048 else 1024).norm("image_proj.norm", context)
    return x.linear("ip_adapter.{%s}.to_{k,v}_ip" % ",".join(str(2 * index + 1) for index in range(blocks)), 640 if context == 2048 else 320, context, False)


def motion_module() -> Listing:
    x = Listing()
    for level, width in enumerate((320, 640, 1280, 1280)):
        for stem in (f"down_blocks.{level}.motion_modules.{{0,1}}", f"up_blocks.{3 - level}.motion_modules.{{0-2}}"):
            t = f"{stem}.temporal_transformer"
            x.norm(f"{t}.norm", width).linear(f"{t}.proj_{{in,out}}", width, width).linear(f"{t}.transformer_blocks.0.attention_blocks.{{0,1}}.to_{{q,k,v}}", width, width, False)
            x.linear(f"{t}.transformer_blocks.0.attention_blocks.{{0,1}}.to_out.0", width, width).tensor(f"{t}.transformer_blocks.0.attention_blocks.{{0,1}}.pos_encoder.pe", 1, 32, width)
            x.linear(f"{t}.transformer_blocks.0.ff.net.0.proj", 8 * width, width).linear(f"{t}.transformer_blocks.0.ff.net.2", width, 4 * width)
    return x


# --- Upscalers -------------------------------------------------------------------------------------------------------


def esrgan(naming: str, blocks: int = 23) -> Listing:
    x = Listing()
    if naming == "old":
        x.conv("model.0", 64, 3, 3, 3).conv(f"model.1.sub.{blocks}", 64, 64, 3, 3).conv("model.{3,6,8}", 64, 64, 3, 3).conv("model.10", 3, 64, 3, 3)
        for conv in range(1, 6):
            x.conv(f"model.1.sub.{span(blocks)}.RDB{{1-3}}.conv{conv}.0", 64 if conv == 5 else 32, 32 + 32 * conv, 3, 3)
        return x
    trunk, dense, body = ("RRDB_trunk", "RDB", "trunk_conv") if naming == "bsrgan" else ("body", "rdb", "conv_body")
    x.conv("conv_first", 64, 3, 3, 3).conv(body, 64, 64, 3, 3).conv("upconv{1,2}" if naming == "bsrgan" else "conv_up{1,2}", 64, 64, 3, 3).conv("conv_last", 3, 64, 3, 3)
    for conv in range(1, 6):
        x.conv(f"{trunk}.{span(blocks)}.{dense}{{1-3}}.conv{conv}", 64 if conv == 5 else 32, 32 + 32 * conv, 3, 3)
    return x


def compact(convs: int, scale: int) -> Listing:
    x = Listing().conv("body.0", 64, 3, 3, 3).tensor("body.{%s}.weight" % ",".join(str(2 * i + 1) for i in range(convs + 1)), 64)
    return x.conv("body.{%s}" % ",".join(str(2 * i) for i in range(1, convs + 1)), 64, 64, 3, 3).conv(f"body.{2 * convs + 2}", 3 * scale * scale, 64, 3, 3)


def span_upscaler() -> Listing:
    x = Listing().conv("conv_1.sk", 48, 3, 1, 1).conv("conv_1.conv.0", 6, 3, 1, 1).conv("conv_1.eval_conv", 48, 3, 3, 3).conv("block_{1-6}.c{1,2,3}_r.eval_conv", 48, 48, 3, 3).conv("block_{1-6}.c{1,2,3}_r.sk", 48, 48, 1, 1)
    return x.conv("conv_cat", 48, 192, 1, 1).conv("conv_2.eval_conv", 48, 48, 3, 3).conv("upsampler.0", 48, 48, 3, 3)


def swinir(width: int = 180, hat: bool = False) -> Listing:
    x = Listing().conv("conv_first", width, 3, 3, 3).norm("patch_embed.norm", width)
    b = "layers.{0-5}.residual_group.blocks.{0-5}"
    x.norm(f"{b}.norm{{1,2}}", width).linear(f"{b}.attn.qkv", 3 * width, width).linear(f"{b}.attn.proj", width, width).tensor(f"{b}.attn.relative_position_bias_table", 225, 6)
    x.linear(f"{b}.mlp.fc1", 2 * width, width).linear(f"{b}.mlp.fc2", width, 2 * width).conv("layers.{0-5}.conv", width, width, 3, 3).norm("norm", width).conv("conv_after_body", width, width, 3, 3)
    if hat:
        x.conv(f"{b}.conv_block.cab.0", 60, width, 3, 3).tensor("relative_position_index_OCA:I64", 256, 576).linear("layers.{0-5}.residual_group.overlap_attn.qkv", 3 * width, width)
    # SwinIR for real pictures enlarges by repeating, HAT by shuffling.
    x.conv("upsample.{0,2}", 256, 64, 3, 3) if hat else x.conv("{conv_up1,conv_up2,conv_hr}", 64, 64, 3, 3)
    return x.conv("conv_before_upsample.0", 64, width, 3, 3).conv("conv_last", 3, 64, 3, 3)


def dat() -> Listing:
    w = 180
    x = Listing().conv("conv_first", w, 3, 3, 3).norm("before_RG.1", w)
    b = "layers.{0-5}.blocks.{0-5}"
    x.linear(f"{b}.attn.qkv", 3 * w, w).linear(f"{b}.attn.proj", w, w).conv(f"{b}.attn.dwconv.0", w, 1, 3, 3).conv(f"{b}.attn.channel_interaction.1", 22, w, 1, 1).conv(f"{b}.attn.spatial_interaction.0", 11, w, 1, 1)
    return x.norm("norm", w).conv("conv_after_body", w, w, 3, 3).conv("conv_before_upsample.0", 64, w, 3, 3).conv("upsample.{0,2}", 256, 64, 3, 3).conv("conv_last", 3, 64, 3, 3)


def real_plksr() -> Listing:
    x = Listing().conv("feats.0", 64, 3, 3, 3)
    b = "feats.{1-28}"
    x.conv(f"{b}.channel_mixer.0", 128, 64, 3, 3).conv(f"{b}.channel_mixer.2", 64, 128, 3, 3).conv(f"{b}.lk.conv", 16, 16, 17, 17).conv(f"{b}.attn.f.0", 64, 64, 3, 3).conv(f"{b}.refine", 64, 64, 1, 1).norm(f"{b}.norm", 64)
    return x.conv("feats.30", 48, 64, 3, 3)


# --- Files that are not for painting ---------------------------------------------------------------------------------


def whisper() -> Listing:
    x = Listing().conv("model.encoder.conv1", 768, 80, 3).conv("model.encoder.conv2", 768, 768, 3).tensor("model.encoder.embed_positions.weight", 1500, 768).tensor("model.decoder.embed_tokens.weight", 51865, 768)
    b = "model.{encoder,decoder}.layers.{0-11}"
    return x.linear(f"{b}.self_attn.{{q,k,v,out}}_proj", 768, 768).linear("model.decoder.layers.{0-11}.encoder_attn.{q,k,v,out}_proj", 768, 768).linear(f"{b}.fc1", 3072, 768).linear(f"{b}.fc2", 768, 3072)


def yolo() -> Listing:
    x = Listing().conv("model.0.conv", 16, 3, 3, 3, bias=False).norm("model.0.bn", 16).conv("model.1.conv", 32, 16, 3, 3, bias=False).norm("model.1.bn", 32)
    x.conv("model.2.cv{1,2}.conv", 32, 32, 1, 1, bias=False).conv("model.2.m.0.cv{1,2}.conv", 16, 16, 3, 3, bias=False).conv("model.22.cv2.{0-2}.{0,1}.conv", 64, 64, 3, 3, bias=False)
    return x.conv("model.22.dfl.conv", 1, 16, 1, 1, bias=False)


def segment_anything() -> Listing:
    x = Listing().conv("image_encoder.patch_embed.proj", 768, 3, 16, 16).tensor("image_encoder.pos_embed", 1, 64, 64, 768).linear("image_encoder.blocks.{0-11}.attn.qkv", 2304, 768).linear("image_encoder.blocks.{0-11}.mlp.lin1", 3072, 768)
    return x.tensor("mask_decoder.iou_token.weight", 1, 256).linear("mask_decoder.transformer.layers.{0,1}.self_attn.{q,k,v,out}_proj", 256, 256).tensor("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", 2, 128)


def rvc_voice() -> Listing:
    x = Listing().tensor("emb_g.weight", 109, 256).linear("enc_p.emb_phone", 192, 768).tensor("enc_p.emb_pitch.weight", 256, 192).conv("dec.conv_pre", 512, 192, 7).conv("enc_p.encoder.attn_layers.{0-5}.conv_{q,k,v,o}", 192, 192, 1)
    return x.conv("flow.flows.{0,2,4,6}.pre", 192, 96, 1).tensor("dec.ups.{0-3}.weight_g", 512, 1, 1).tensor("dec.ups.{0-3}.weight_v", 512, 256, 16)


def gpt2() -> Listing:
    x = Listing().tensor("wte.weight", 50257, 768).tensor("wpe.weight", 1024, 768).norm("ln_f", 768)
    return x.linear("h.{0-11}.attn.c_attn", 2304, 768).linear("h.{0-11}.attn.c_proj", 768, 768).linear("h.{0-11}.mlp.c_fc", 3072, 768).norm("h.{0-11}.ln_{1,2}", 768)


def bert() -> Listing:
    x = Listing().tensor("bert.embeddings.word_embeddings.weight", 30522, 768).tensor("bert.embeddings.position_embeddings.weight", 512, 768)
    b = "bert.encoder.layer.{0-11}"
    return x.linear(f"{b}.attention.self.{{query,key,value}}", 768, 768).linear(f"{b}.attention.output.dense", 768, 768).linear(f"{b}.intermediate.dense", 3072, 768).linear(f"{b}.output.dense", 768, 3072)


def resnet50() -> Listing:
    x = Listing().conv("conv1", 64, 3, 7, 7, bias=False).norm("bn1", 64)
    return x.conv("layer{1-4}.{0-2}.conv{1,3}", 64, 64, 1, 1, bias=False).conv("layer{1-4}.{0-2}.conv2", 64, 64, 3, 3, bias=False).norm("layer{1-4}.{0-2}.bn{1-3}", 64).linear("fc", 1000, 2048)


def vit() -> Listing:
    x = Listing().conv("vit.embeddings.patch_embeddings.projection", 768, 3, 16, 16).tensor("vit.embeddings.cls_token", 1, 1, 768)
    b = "vit.encoder.layer.{0-11}"
    return x.linear(f"{b}.attention.attention.{{query,key,value}}", 768, 768).linear(f"{b}.intermediate.dense", 3072, 768).linear("classifier", 2, 768)


def ldm_class_conditional() -> Listing:
    """An unconditional or class-conditional diffusion UNet: attention without text."""
    x = Listing().conv("conv_in", 224, 3, 3, 3).linear("time_embedding.linear_1", 896, 224).linear("time_embedding.linear_2", 896, 896)
    for side in ("down", "up"):
        x.conv(f"{side}_blocks.{{0-3}}.resnets.{{0,1}}.conv{{1,2}}", 224, 224, 3, 3).linear(f"{side}_blocks.{{1-3}}.attentions.{{0,1}}.to_{{q,k,v}}", 448, 448)
    return x.conv("conv_out", 3, 224, 3, 3)


# --- LoRA ------------------------------------------------------------------------------------------------------------

LINE = re.compile(r"^(.*)\.weight((?: \d+)+)$")


def lora(base: Listing, naming: str, rank: int, select: str, algorithm: str = "lora", conv: bool = False) -> Listing:
    """The adapter of `rank` for the layers of `base` whose pattern matches `select`.

    `naming` holds a prefix and, after a `|`, how the layer's name goes on: `_` for dots turned into underscores (kohya),
    `.` for names as they are (peft, ComfyUI), `p` for attention processors (diffusers before peft)."""
    prefix, style = naming.split("|")
    x = Listing()
    for line in base.lines:
        match = LINE.match(line)
        if not match or not re.search(select, match[1]):
            continue
        shape = [int(size) for size in match[2].split()]
        if len(shape) != 2 and not (len(shape) == 4 and (conv or shape[2:] == [1, 1])):
            continue
        outputs, inputs, kernel = shape[0], shape[1], shape[2:]
        ones = [1] * len(kernel)
        name = prefix + (match[1] if style != "_" else match[1].replace(".", "_"))
        if style == "p":
            stem, leaf = re.match(r"(.*attn[12])\.(.*)", match[1]).groups()
            name = f"{prefix}{stem}.processor.{leaf.removesuffix('.0')}_lora"
            x.tensor(f"{name}.down.weight", rank, inputs).tensor(f"{name}.up.weight", outputs, rank)
            continue
        down, up = ("lora_down", "lora_up") if style == "_" or algorithm == "onetrainer" else ("lora_A", "lora_B")
        match algorithm:
            case "lora" | "dora" | "onetrainer":
                x.tensor(f"{name}.{down}.weight", rank, inputs, *kernel).tensor(f"{name}.{up}.weight", outputs, rank, *ones)
                if algorithm == "dora":
                    x.tensor(f"{name}.dora_scale", outputs, 1, *ones)
                if style == "_" or algorithm == "onetrainer":
                    x.tensor(f"{name}.alpha")
            case "loha":
                flat = inputs * (kernel[0] * kernel[1] if kernel else 1)
                x.tensor(f"{name}.hada_w{{1,2}}_a", outputs, rank).tensor(f"{name}.hada_w{{1,2}}_b", rank, flat).tensor(f"{name}.alpha")
            case "lokr":
                x.tensor(f"{name}.lokr_w1", 16, 16).tensor(f"{name}.lokr_w2_a", outputs // 16, rank).tensor(f"{name}.lokr_w2_b", rank, inputs // 16, *kernel).tensor(f"{name}.alpha")
            case "lokr-full":
                x.tensor(f"{name}.lokr_w1", 16, 16).tensor(f"{name}.lokr_w2", outputs // 16, inputs // 16).tensor(f"{name}.alpha")
            case "full":
                x.tensor(f"{name}.diff", outputs, inputs, *kernel)
            case "ia3":
                x.tensor(f"{name}.weight", outputs, *ones[:1]).tensor(f"{name}.on_input")
            case "oft":
                x.tensor(f"{name}.oft_blocks", 4, outputs // 4, outputs // 4).tensor(f"{name}.alpha")
            case "glora":
                x.tensor(f"{name}.a1.weight", inputs, rank).tensor(f"{name}.{{a2,b2}}.weight", rank, inputs).tensor(f"{name}.b1.weight", outputs, rank).tensor(f"{name}.alpha")
    assert x.lines, (naming, select)
    return x


def flux_lora_xlabs(rank: int) -> Listing:
    b = "double_blocks.{0-18}.processor"
    x = Listing().tensor(f"{b}.qkv_lora{{1,2}}.down.weight", rank, 3072).tensor(f"{b}.qkv_lora{{1,2}}.up.weight", 9216, rank)
    return x.tensor(f"{b}.proj_lora{{1,2}}.down.weight", rank, 3072).tensor(f"{b}.proj_lora{{1,2}}.up.weight", 3072, rank)


def control_lora() -> Listing:
    x = Listing().tensor("lora_controlnet:U8", 1).conv("input_hint_block.0", 16, 3, 3, 3).conv("zero_convs.{0-8}.0", 320, 320, 1, 1)
    b = "input_blocks.{4,5}.1.transformer_blocks.{0,1}"
    x.tensor(f"{b}.attn1.to_{{q,k,v}}.down", 256, 640).tensor(f"{b}.attn1.to_{{q,k,v}}.up", 640, 256).tensor(f"{b}.attn2.to_{{k,v}}.down", 256, 2048).tensor(f"{b}.attn2.to_{{k,v}}.up", 640, 256)
    return x.tensor("input_blocks.0.0.{down,bias}", 256).tensor("label_emb.0.0.down", 256, 2816).tensor("label_emb.0.0.up", 1280, 256).tensor("time_embed.0.bias", 1280)
