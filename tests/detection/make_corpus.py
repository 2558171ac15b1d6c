#!/usr/bin/env python3
"""Write the tensor listings that the test of detection replays, from published configurations by shape arithmetic.

    python3 tests/detection/make_corpus.py

Standard library only. Nothing here knows what detection answers: what each file is stands in `labels.tsv`, written by
hand from the identity of the repository that the numbers come from. Each listing below names that repository; the numbers
are its `config.json`'s or the defaults of the class that reads it, the names those of the code in brackets:
[c] Comfy-Org/ComfyUI `comfy/model_detection.py` at 0b61ce5b and `comfy/ldm/` at a125cd84, [d] diffusers at 58eb52c0 (`models/`, `scripts/convert_*.py`,
`loaders/single_file_utils.py`, `loaders/lora_conversion_utils.py`), [s] stable-diffusion.cpp at 97d29908 (`src/model/`).
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import parts  # noqa: E402
import transformers as net  # noqa: E402
import unets  # noqa: E402
from notation import Listing, span  # noqa: E402

XL = dict(mult=(1, 2, 4), context=2048, linear=True, added=2816)
SDXL = dict(XL, down=((0, 0), (2, 2), (10, 10)), middle=10)
SSD = dict(XL, down=((0, 0), (2, 2), (4, 4)), up=((4, 4, 10), (2, 1, 1), (0, 0, 0)), middle=-1)
VEGA = dict(XL, down=((0, 0), (1, 1), (2, 2)), up=((2, 2, 2), (1, 1, 1), (0, 0, 0)), middle=-1)
SD2 = dict(context=1024, linear=True)
REFINER = dict(width=384, down=((0, 0), (4, 4), (4, 4), (0, 0)), middle=4, context=1280, linear=True, added=2560)
TINY = dict(down=((1,), (1,), (1,)), mult=(1, 2, 4), middle=-2)
ATTENTION = r"attn[12]\.|proj_|ff\.net"
PLAIN_ATTENTION = r"attn[12]\."


def networks() -> dict[str, Listing]:
    return {
        # runwayml/stable-diffusion-v1-5 and -inpainting, timbrooks/instruct-pix2pix [d, c]
        "sd1-ldm": unets.unet("ldm"),
        "sd1-inpaint-ldm": unets.unet("ldm", channels=9),
        "sd1-ip2p-ldm": unets.unet("ldm", channels=8),
        "sd1-ip2p-diffusers": unets.unet("diffusers", channels=8),
        # segmind/tiny-sd: one block a level, no middle [s VERSION_SD1_TINY_UNET]
        "sd1-tiny-diffusers": unets.unet("diffusers", **TINY),
        # stabilityai/stable-diffusion-2-1, -2-inpainting, -2-depth, -2-1-unclip(-small), -x4-upscaler [c, d]
        "sd2-ldm": unets.unet("ldm", **SD2),
        "sd2-inpaint-ldm": unets.unet("ldm", channels=9, **SD2),
        "sd2-depth-ldm": unets.unet("ldm", channels=5, **SD2),
        "sd2-unclip-ldm": unets.unet("ldm", added=2048, **SD2),
        "sd2-unclip-l-ldm": unets.unet("ldm", added=1536, **SD2),
        # stabilityai/stable-diffusion-xl-base-1.0, -refiner-1.0, diffusers/…-inpainting-0.1, sdxl-instructpix2pix-768 [c]
        "sdxl-ldm": unets.unet("ldm", **SDXL),
        "sdxl-inpaint-ldm": unets.unet("ldm", channels=9, **SDXL),
        "sdxl-ip2p-diffusers": unets.unet("diffusers", channels=8, **SDXL),
        "refiner-ldm": unets.unet("ldm", **REFINER),
        # segmind/SSD-1B, segmind/Segmind-Vega, etri-vilab/koala-700m and -1b [c SSD_1B, Segmind_Vega, KOALA_700M, KOALA_1B,
        # whose depths of the way up are read from the end of their list]
        "ssd-1b-ldm": unets.unet("ldm", **SSD),
        "ssd-1b-diffusers": unets.unet("diffusers", **SSD),
        "vega-ldm": unets.unet("ldm", **VEGA),
        "vega-diffusers": unets.unet("diffusers", **VEGA),
        "koala-700m-diffusers": unets.unet("diffusers", down=((0,), (2,), (5,)), middle=-2, **XL),
        "koala-1b-diffusers": unets.unet("diffusers", down=((0,), (2,), (6,)), middle=6, **XL),
        # Kwai-Kolors/Kolors: text states projected from 4096, size embedding with 4096 pooled [d unet_2d_condition]
        "kolors-ldm": unets.unet("ldm", **dict(SDXL, added=5632)),
        # stabilityai/stable-video-diffusion-img2vid [c video_model; s VERSION_SVD]
        "svd-ldm": svd_ldm(),
        # black-forest-labs/FLUX.1-dev, -schnell, -Fill-dev, -Depth-dev; ostris/Flex.2-preview, Flex.1-alpha [c, d]
        "flux1-dev": net.flux1(),
        "flux1-dev-weight": net.flux1(scale="weight"),
        "flux1-schnell": net.flux1(guidance=False),
        "flux1-fill": net.flux1(channels=384),
        "flux1-depth": net.flux1(channels=128),
        "flux1-flex1": net.flux1(depth=8),
        "flux1-flex2": net.flux1(channels=196, depth=8),
        "flux1-dev-diffusers": net.flux_diffusers(),
        "flux1-schnell-diffusers": net.flux_diffusers(guidance=False),
        "flux1-fill-diffusers": net.flux_diffusers(channels=384),
        # black-forest-labs/FLUX.2-dev, FLUX.2-klein-4B and -9B [d transformer_flux2; widths 7680 and 12288 of klein]
        "flux2-dev": net.flux2(6144, 8, 48, 15360, True),
        "flux2-klein-4b": net.flux2(3072, 5, 20, 7680, False),
        "flux2-klein-9b": net.flux2(4096, 8, 24, 12288, False),
        "flux2-dev-diffusers": net.flux2_diffusers(6144, 8, 48, 15360, True),
        "flux2-klein-4b-diffusers": net.flux2_diffusers(3072, 5, 20, 7680, False),
        # lodestones/Chroma1-HD and Chroma1-Radiance [d CHECKPOINT_KEY_NAMES; s VERSION_CHROMA_RADIANCE]
        "chroma": net.chroma(),
        "chroma-radiance": net.chroma(radiance=True),
        # AIDC-AI/Ovis-Image-7B, meituan-longcat/LongCat-Image, BRIA [d transformer_{ovis,longcat}_image, the
        # defaults of transformer_bria]
        "ovis": net.ovis(),
        "ovis-diffusers": net.flux_diffusers(depth=6, single=27, text=2048, time="", pooled=None, guidance=False, ff="swiglu", normed_text=True),
        "longcat": net.flux1(depth=10, single=20, text=3584, pooled=None, guidance=False),
        "longcat-diffusers": net.flux_diffusers(depth=10, single=20, text=3584, time="time_embed", pooled=None, guidance=False),
        "bria-diffusers": net.flux_diffusers(time="time_embed", pooled=None, guidance=False),
        # tencent/HunyuanVideo, HunyuanVideo-1.5, HunyuanImage-2.1 [d convert_hunyuan_*; c txt_in.individual_token_refiner]
        "hunyuan-video": net.hunyuan_video(True),
        "hunyuan-video-comfy": net.hunyuan_video(False),
        "hunyuan-video-diffusers": net.hunyuan_video_diffusers(),
        "hunyuan-image": net.hunyuan_video(False, hidden=3584, channels=64, text=3584, pooled=None, guidance=False, image=True).linear("byt5_in.fc1", 2048, 1472).linear("byt5_in.fc2", 2048, 2048),
        "hunyuan-video15": net.hunyuan_video(False, hidden=2048, depth=54, single=0, channels=65, text=3584, pooled=None, guidance=False).linear("vision_in.proj.1", 1152, 1152).norm("vision_in.proj.0", 1152).linear("byt5_in.fc1", 2048, 1472),
        # stabilityai/stable-diffusion-3-medium, -3.5-medium, -3.5-large [c depth = width / 64; d]
        "sd3-medium": net.sd3(1536, 36864),
        "sd35-medium": net.sd3(1536, 147456, dual=13, qk_norm=True),
        "sd35-large": net.sd3(2432, 36864, qk_norm=True),
        "sd3-medium-diffusers": net.sd3_diffusers(1536, 36864),
        "sd35-medium-diffusers": net.sd3_diffusers(1536, 147456, dual=13, qk_norm=True),
        "sd35-large-diffusers": net.sd3_diffusers(2432, 36864, qk_norm=True),
        # fal/AuraFlow-v0.3 (and Pony V7 on it) [d auraflow_transformer_2d, convert_aura_flow]
        "auraflow": net.auraflow(),
        "auraflow-diffusers": net.auraflow_diffusers(),
        # Tencent-Hunyuan/HunyuanDiT-v1.2 [c mlp_t5]; PixArt-alpha/PixArt-XL-2-1024-MS, PixArt-Sigma-XL-2-1024-MS [d]
        "hunyuan-dit": net.hunyuan_dit(),
        "pixart-alpha": net.pixart(120, True),
        "pixart-sigma": net.pixart(300, False),
        "pixart-alpha-diffusers": net.pixart_diffusers(True),
        "pixart-sigma-diffusers": net.pixart_diffusers(False),
        # Alpha-VLLM/Lumina-Image-2.0, neta-art/Neta-Lumina, Tongyi-MAI/Z-Image-Turbo, Alpha-VLLM/Lumina-Next-SFT, OmniGen2 [c, d, s z_image]
        "lumina2": net.next_dit(2304, 96, 768, 2304, 26, 9216, 1, False),
        "newbie": net.next_dit(2304, 96, 768, 2560, 36, 9216, 1, False).norm("clip_text_pooled_proj.0", 1024).linear("clip_text_pooled_proj.1", 1024, 1024),
        "z-image": net.next_dit(3840, 128, 3840, 2560, 30, 10240, 0, True),
        "lumina-next": net.lumina_next(),
        "omnigen2": net.omnigen2(),
        # Qwen/Qwen-Image, Qwen-Image-Layered [d transformer_qwenimage; s VERSION_QWEN_IMAGE_LAYERED]
        "qwen-image": net.qwen_image(),
        "qwen-image-layered": net.qwen_image(layered=True),
        # Wan-AI/Wan2.1-T2V-1.3B, -T2V-14B, -I2V-14B-480P, -VACE-14B; Wan2.2-TI2V-5B, -I2V-A14B [d convert_wan, s wan]
        "wan21-t2v-1.3b": net.wan(1536, 8960, 30, 16, 16),
        "wan21-t2v-14b": net.wan(5120, 13824, 40, 16, 16),
        "wan21-i2v-14b": net.wan(5120, 13824, 40, 36, 16, image=True),
        "wan22-i2v-a14b": net.wan(5120, 13824, 40, 36, 16),
        "wan22-ti2v-5b": net.wan(3072, 14336, 30, 48, 48),
        "wan21-vace-14b": net.wan(5120, 13824, 40, 16, 16, vace=8),
        "wan21-t2v-1.3b-diffusers": net.wan_diffusers(1536, 8960, 30, 16, 16),
        "wan22-ti2v-5b-diffusers": net.wan_diffusers(3072, 14336, 30, 48, 48),
        # Lightricks/LTX-Video 0.9, 0.9.7 13B, LTX-2 [d convert_ltx, convert_ltx2]; genmo/mochi-1-preview [c t5_yproj, d]
        "ltx": net.ltx(True),
        "ltx-13b": net.ltx(True, width=4096, layers=48),
        "ltx-diffusers": net.ltx(False),
        "ltx2": net.ltx(True, width=4096, layers=48, caption=3840, audio=True),
        "mochi": net.mochi(),
        # nvidia/Cosmos-1.0-Diffusion-7B-Text2World, Cosmos-Predict2-2B/14B-Text2Image [d convert_cosmos]; circlestone-labs/Anima [s anima]
        "cosmos1-7b": net.cosmos1(4096, 28),
        "cosmos1-7b-diffusers": net.cosmos_diffusers(4096, 28, True),
        "cosmos2-2b": net.cosmos2(2048, 28),
        "cosmos2-14b": net.cosmos2(5120, 36),
        "cosmos2-2b-diffusers": net.cosmos_diffusers(2048, 28, False),
        "anima": net.cosmos2(2048, 28, anima=True),
        # HiDream-ai/HiDream-I1-Full, Efficient-Large-Model/Sana_1600M_1024px [d]
        "hidream": net.hidream(),
        "sana": net.sana(True),
        "sana-diffusers": net.sana(False),
        # zai-org/CogView4-6B, CogView3-Plus-3B, CogVideoX-2b, CogVideoX-5b-I2V [d]
        "cogview4": net.cogview4(),
        "cogview3": net.cogview3(),
        "cogvideox-2b": net.cogvideox(1920, 30),
        "cogvideox-5b-i2v": net.cogvideox(3072, 42, 32),
        # kandinskylab/Kandinsky-5.0-T2V-Lite, stabilityai/stable-audio-open-1.0, krea/Krea-2, baidu/ERNIE-Image [d, s]
        "kandinsky5": net.kandinsky5(1792, 32, 7168, 512),
        "stable-audio": net.stable_audio(),
        "krea2": net.krea2(True),
        "krea2-diffusers": net.krea2(False),
        "ernie-image": net.ernie_image(),
    }


def svd_ldm() -> Listing:
    x = unets.unet("ldm", context=1024, linear=True, channels=8, added=768)
    x.conv("input_blocks.{1,2,4,5,7,8}.0.time_stack.in_layers.2", 320, 320, 3, 1, 1).tensor("input_blocks.{1,2,4,5,7,8}.0.time_mixer.mix_factor", 1)
    return x.tensor("input_blocks.{1,2,4,5,7,8}.1.time_stack.0.attn1.to_{q,k,v}.weight", 320, 320)


def companions() -> dict[str, Listing]:
    gemma = "{input_layernorm,post_attention_layernorm,pre_feedforward_layernorm,post_feedforward_layernorm}"
    vision = Listing().conv("visual.patch_embed.proj", 1280, 3, 2, 14, 14, bias=False).linear("visual.blocks.{0-31}.attn.qkv", 3840, 1280).linear("visual.merger.mlp.0", 5120, 5120)
    return {
        # openai/clip-vit-large-patch14, laion/CLIP-ViT-bigG-14 and -H-14, google/t5-v1_1-xxl, google/umt5-xxl, EleutherAI/pile-t5-xl
        "clip-l": parts.clip(768, 12),
        "clip-l-long": parts.clip(768, 12, positions=248),
        "clip-l-projection": parts.clip(768, 12, projection=768),
        "clip-g": parts.clip(1280, 32, projection=1280),
        "open-clip-h": parts.open_clip(1024, 24),
        "open-clip-g": parts.open_clip(1280, 32),
        "clip-vision-h": parts.clip_vision(1280, 32, 14, 5120, 1024),
        "clip-vision-l": parts.clip_vision(1024, 24, 14, 4096, 768),
        "t5-xxl": parts.t5(4096, 24, 10240, 32128, 64),
        "umt5-xxl": parts.t5(4096, 24, 10240, 256384, 64, per_layer_bias=True),
        "pile-t5-xl": parts.t5(2048, 24, 5120, 32128, 32),
        "t5-xxl-gguf": parts.t5_gguf(4096, 24, 10240, 32128, 64),
        # google/gemma-2-2b, meta-llama/Llama-3.1-8B, Qwen/Qwen2.5-VL-7B, Qwen/Qwen3-4B, mistralai/Mistral-Small-3.2-24B
        "gemma2-2b": parts.decoder_lm(2304, 26, 9216, 256000, 2048, 1024, 256, norms=gemma),
        "llama31-8b": parts.decoder_lm(4096, 32, 14336, 128256, 4096, 1024, 128),
        "qwen25-vl-7b": parts.decoder_lm(3584, 28, 18944, 152064, 3584, 512, 128, bias=True).add(vision),
        "qwen3-4b": parts.decoder_lm(2560, 36, 9728, 151936, 4096, 1024, 128, qk_norm=True),
        "qwen3-06b": parts.decoder_lm(1024, 28, 3072, 151936, 2048, 1024, 128, qk_norm=True),
        "mistral-small": parts.decoder_lm(5120, 40, 32768, 131072, 4096, 1024, 128),
        "llm-llama31-8b": parts.decoder_lm(4096, 32, 14336, 128256, 4096, 1024, 128, lm_head=True),
        "llm-qwen25-7b": parts.decoder_lm(3584, 28, 18944, 152064, 3584, 512, 128, bias=True, lm_head=True),
        # Alpha-VLLM/Lumina-mGPT-2.0: a Chameleon of 7 billion parameters with more words
        "llm-lumina-mgpt": parts.decoder_lm(4096, 32, 11008, 171385, 4096, 4096, 128, qk_norm=True, lm_head=True),
        "llm-tiny": parts.decoder_lm(64, 2, 128, 1000, 64, 64, 16),
        "llm-gguf": parts.llm_gguf(4096, 32, 14336, 128256, 1024),
        # VAEs of the repositories above; madebyollin/taesd; mit-han-lab/dc-ae-f32c32-sana-1.0 [d, s, c taesd]. Those in
        # diffusers' names are among the fixtures.
        "vae-sd": parts.kl_vae_ldm(4, True),
        "vae-sd-diffusers": parts.kl_vae_diffusers(4, True),
        "vae-flux": parts.kl_vae_ldm(16, False),
        "vae-flux-diffusers": parts.kl_vae_diffusers(16, False),
        "vae-flux2": parts.kl_vae_ldm(32, True).tensor("bn.running_mean", 128).tensor("bn.running_var", 128),
        "vae-wan21": parts.wan_vae(16, 96, 96),
        "vae-wan22": parts.wan_vae(48, 160, 256),
        "vae-ltx": parts.ltx_vae(),
        "vae-dc": parts.dc_ae(),
        "vae-taesd": parts.taesd("taesd_encoder.", "taesd_decoder."),
        "vae-taesd-encoder": parts.taesd("", None),
        "vae-taesd-decoder": parts.taesd(None, ""),
        "vae-stage-a": parts.stage_a(),
        # lllyasviel/control_v11p_sd15_canny, diffusers/controlnet-canny-sdxl-1.0(-mid, -small) [d]
        "control-sd1-ldm": unets.control_ldm(),
        "control-sd2-ldm": unets.control_ldm(**SD2),
        "control-sd1-diffusers": unets.control_diffusers([320] * 4 + [640] * 3 + [1280] * 5),
        "control-sdxl-diffusers": unets.control_diffusers([320] * 4 + [640] * 3 + [1280] * 2, **SDXL),
        "control-sdxl-mid": unets.control_diffusers([320] * 4 + [640] * 3 + [1280] * 2, **dict(XL, down=((0, 0), (0, 0), (1, 1)), middle=1)),
        "control-sdxl-small": unets.control_diffusers([320] * 4 + [640] * 3 + [1280] * 2, **dict(XL, down=((0, 0), (0, 0), (0, 0)), middle=-1)),
        "control-lora-sdxl": parts.control_lora(),
        # InstantX/FLUX.1-dev-Controlnet-Canny, Shakker-Labs/…-Union-Pro-2.0, XLabs-AI/flux-controlnet-canny, InstantX/SD3-Controlnet-Canny
        "control-flux-instantx": parts.flux_control(5, 10, True),
        "control-flux-pro2": parts.flux_control(6, 0, False),
        "control-flux-xlabs": parts.flux_control_xlabs(),
        "control-sd3": parts.sd3_control(1536, 12),
        "control-qwen": parts.qwen_control(5),
        "control-z-image": parts.z_image_control(),
        # TencentARC/t2iadapter_canny_sd15v2, h94/IP-Adapter, guoyww/animatediff
        "t2i-sd1": parts.t2i_adapter(),
        "ip-adapter-sd1": parts.ip_adapter(768, 16, False, 768),
        "ip-adapter-sdxl": parts.ip_adapter(2048, 70, False, 1280),
        "ip-adapter-plus-sdxl": parts.ip_adapter(2048, 70, True, 1280),
        "motion-sd1": parts.motion_module(),
        # xinntao/ESRGAN, Real-ESRGAN, cszn/BSRGAN, hongyuanyu/SPAN, JingyunLiang/SwinIR, XPixelGroup/HAT, zhengchen1999/DAT, neosr
        "up-esrgan-old": parts.esrgan("old"),
        "up-esrgan": parts.esrgan("new"),
        "up-esrgan-anime": parts.esrgan("new", 6),
        "up-bsrgan": parts.esrgan("bsrgan"),
        "up-compact": parts.compact(32, 4),
        "up-compact-video": parts.compact(16, 2),
        "up-span": parts.span_upscaler(),
        "up-swinir": parts.swinir(),
        "up-hat": parts.swinir(hat=True),
        "up-dat": parts.dat(),
        "up-plksr": parts.real_plksr(),
        # openai/whisper-small, ultralytics/yolov8n, facebook/sam-vit-base, RVC, gpt2, bert, resnet50, nsfw detector, LDM-256
        "no-whisper": parts.whisper(),
        "no-yolo": parts.yolo(),
        "no-sam": parts.segment_anything(),
        "no-rvc": parts.rvc_voice(),
        "no-gpt2": parts.gpt2(),
        "no-bert": parts.bert(),
        "no-resnet": parts.resnet50(),
        "no-vit": parts.vit(),
        "no-ldm-unconditional": parts.ldm_class_conditional(),
        "no-random": Listing().tensor("{alpha,beta,gamma}.{0-9}.w", 17, 23).tensor("zeta", 5),
        "no-empty": Listing(),
        "mark-v-pred": Listing().tensor("v_pred", 0),
        "mark-ztsnr": Listing().tensor("ztsnr", 0),
        "mark-edm": Listing().tensor("edm_{mean,std}:F32", 1, 4, 1, 1),
        "mark-cosxl": Listing().tensor("edm_vpred.sigma_{max,min}:F32"),
        "mark-scaled-fp8": Listing().tensor("scaled_fp8:F8_E4M3", 2).tensor("double_blocks.{0-18}.img_attn.qkv.scale_weight:F32"),
        "mark-bnb-nf4": Listing().tensor("double_blocks.0.img_attn.qkv.weight.absmax:F32", 9216).tensor("double_blocks.0.img_attn.qkv.weight.quant_state.bitsandbytes__nf4:U8", 116),
        # textual inversions: A1111, SDXL pair, diffusers, several vectors
        "ti-sd1": Listing().tensor("emb_params", 8, 768),
        "ti-sd2": Listing().tensor("emb_params", 2, 1024),
        "ti-sdxl": Listing().tensor("clip_g", 4, 1280).tensor("clip_l", 4, 768),
        "ti-token": Listing().tensor("<cat-toy>", 1, 768),
        "ti-string-to-param": Listing().tensor("string_to_param.*", 1, 768),
        # nunchaku-tech/nunchaku-flux.1-dev: svdquant names [transformer_blocks.*.qweight]
        "nunchaku-flux": nunchaku(),
    }


def nunchaku() -> Listing:
    x = Listing()
    for stem, count in (("transformer_blocks", 19), ("single_transformer_blocks", 38)):
        for layer in ("qkv_proj", "out_proj", "mlp_fc1", "mlp_fc2"):
            block = f"{stem}.{span(count)}.{layer}"
            x.tensor(f"{block}.qweight:I8", 3072, 1536).tensor(f"{block}.wscales", 48, 3072).tensor(f"{block}.proj_{{down,up}}", 3072, 32).tensor(f"{block}.smooth_factor", 3072)
        x.tensor(f"{stem}.{span(count)}.norm_{{q,k}}.weight", 128)
    x.linear("x_embedder", 3072, 64).linear("context_embedder", 3072, 4096)
    for kind, first in (("timestep", 256), ("guidance", 256), ("text", 768)):
        x.linear(f"time_text_embed.{kind}_embedder.linear_1", 3072, first).linear(f"time_text_embed.{kind}_embedder.linear_2", 3072, 3072)
    return x.linear("norm_out.linear", 6144, 3072).linear("proj_out", 64, 3072)


def loras() -> dict[str, Listing]:
    n = networks()
    sd1 = unets.unet("diffusers")
    sdxl = unets.unet("diffusers", **SDXL)
    te1, te2 = parts.clip(768, 12), parts.clip(1280, 32)
    te_select = r"self_attn|mlp"
    lora = parts.lora
    kohya = "lora_unet_|_"
    dit = "diffusion_model.|."
    peft = "transformer.|."
    dot = r"\."
    flux = r"(img|txt).*(attn|mlp|mod)|linear|modulation"
    with_te = lambda x, *more: [x.add(y) for y in more] and x  # noqa: E731
    return {
        # kohya-ss/sd-scripts `networks/lora.py`, KohakuBlueleaf/LyCORIS; diffusers `load_lora_weights`; ComfyUI `comfy/lora.py`
        "lora-sd1-kohya": with_te(lora(sd1, kohya, 32, ATTENTION), lora(te1, "lora_te_|_", 32, te_select)),
        "lora-sd1-kohya-attention": lora(sd1, kohya, 4, PLAIN_ATTENTION),
        "lora-sd1-ldm": lora(n["sd1-ldm"], kohya, 16, ATTENTION),
        "lora-sd1-peft": lora(sd1, "unet.|.", 8, PLAIN_ATTENTION),
        "lora-sd1-processor": lora(sd1, "unet.|p", 4, PLAIN_ATTENTION),
        "lora-sd1-locon": lora(sd1, kohya, 16, r"attn|proj|ff|conv|sampler", conv=True),
        "lora-sd1-loha": lora(sd1, kohya, 8, ATTENTION, "loha"),
        "lora-sd1-lokr": lora(sd1, kohya, 8, ATTENTION, "lokr"),
        "lora-sd1-dora": lora(sd1, kohya, 8, ATTENTION, "dora"),
        "lora-sd1-full": lora(sd1, kohya, 8, ATTENTION, "full"),
        "lora-sd1-oft": lora(sd1, kohya, 8, ATTENTION, "oft"),
        "lora-sd1-ia3": lora(sd1, kohya, 8, r"attn.*to_[kv]|ff\.net\.2", "ia3"),
        "lora-sd1-glora": lora(sd1, kohya, 8, ATTENTION, "glora"),
        "lora-sd1-text": lora(te1, "lora_te_|_", 16, te_select),
        "lora-ssd-1b": lora(n["ssd-1b-diffusers"], "unet.|.", 16, PLAIN_ATTENTION),
        "lora-kolors-peft": lora(fixture("kolors-unet"), "unet.|.", 16, PLAIN_ATTENTION),
        "lora-lcm-sd1": lora(sd1, kohya, 64, r"attn|proj|ff|conv|sampler", conv=True),
        "lora-sd2-kohya": lora(unets.unet("diffusers", **SD2), kohya, 16, ATTENTION),
        "lora-sd2-peft": lora(unets.unet("diffusers", **SD2), "unet.|.", 16, PLAIN_ATTENTION),
        "lora-sdxl-kohya": with_te(lora(sdxl, kohya, 32, ATTENTION), lora(te1, "lora_te1_|_", 32, te_select), lora(te2, "lora_te2_|_", 32, te_select)),
        "lora-sdxl-unet": lora(sdxl, kohya, 32, ATTENTION),
        "lora-sdxl-ldm": lora(n["sdxl-ldm"], kohya, 32, ATTENTION),
        "lora-sdxl-peft": lora(sdxl, "unet.|.", 16, PLAIN_ATTENTION),
        "lora-sdxl-lokr": lora(n["sdxl-ldm"], kohya, 10, ATTENTION, "lokr"),
        "lora-sdxl-lokr-full": lora(sdxl, kohya, 10, ATTENTION, "lokr-full"),
        "lora-sdxl-loha": lora(sdxl, kohya, 8, ATTENTION, "loha"),
        "lora-sdxl-dora": lora(sdxl, "unet.|.", 8, PLAIN_ATTENTION, "dora"),
        "lora-flux-kohya": lora(n["flux1-dev"], kohya, 16, flux),
        "lora-flux-kohya-te": with_te(lora(n["flux1-dev"], kohya, 16, flux), lora(te1, "lora_te1_|_", 16, te_select)),
        "lora-flux-comfy": lora(n["flux1-dev"], dit, 16, flux),
        "lora-flux-toolkit": lora(n["flux1-dev-diffusers"], peft, 16, r"transformer_blocks"),
        "lora-flux-attention": lora(n["flux1-dev-diffusers"], peft, 16, r"transformer_blocks.*attn"),
        "lora-flux-onetrainer": lora(n["flux1-dev-diffusers"], "lora_transformer_|_", 16, r"transformer_blocks|time_text"),
        "lora-flux-xlabs": parts.flux_lora_xlabs(16),
        "lora-flux-lokr": lora(n["flux1-dev"], "lycoris_|_", 8, flux, "lokr"),
        "lora-chroma-comfy": lora(n["chroma"], dit, 16, r"attn|mlp|linear|distilled"),
        "lora-chroma-blocks": lora(n["chroma"], dit, 16, r"double.*(attn|mlp)|linear"),
        "lora-flux2-comfy": lora(n["flux2-dev"], dit, 16, r"modulation|attn|linear"),
        "lora-flux2-diffusers": lora(n["flux2-dev-diffusers"], peft, 16, r"blocks"),
        "lora-flux2-klein": lora(n["flux2-klein-4b-diffusers"], peft, 16, r"blocks"),
        "lora-sd3-comfy": lora(n["sd3-medium"], dit, 16, r"joint_blocks"),
        "lora-sd3-kohya": lora(n["sd35-large"], kohya, 16, r"joint_blocks"),
        "lora-sd35-peft": lora(n["sd35-large-diffusers"], peft, 16, r"attn"),
        "lora-qwen-peft": lora(n["qwen-image"], peft, 16, r"transformer_blocks"),
        "lora-qwen-comfy": lora(n["qwen-image"], dit, 16, r"transformer_blocks"),
        "lora-qwen-kohya": lora(n["qwen-image"], kohya, 16, r"transformer_blocks"),
        "lora-qwen-attention": lora(n["qwen-image"], "|.", 16, r"transformer_blocks.*attn"),
        "lora-z-image-comfy": lora(n["z-image"], dit, 16, r"layers.*(attention|feed)"),
        "lora-z-image-kohya": lora(n["z-image"], kohya, 16, r"layers.*(attention|feed)"),
        "lora-lumina2-comfy": lora(n["lumina2"], dit, 16, r"layers.*(attention|feed)"),
        "lora-lumina2-kohya": lora(n["lumina2"], kohya, 16, r"layers.*(attention|feed)"),
        "lora-wan-14b-comfy": lora(n["wan21-t2v-14b"], dit, 16, r"blocks"),
        "lora-wan-14b-kohya": lora(n["wan21-t2v-14b"], kohya, 16, r"blocks"),
        "lora-wan-1.3b-comfy": lora(n["wan21-t2v-1.3b"], dit, 16, r"blocks"),
        "lora-wan-5b-comfy": lora(n["wan22-ti2v-5b"], dit, 16, r"blocks"),
        "lora-wan-diffusers": lora(n["wan21-t2v-1.3b-diffusers"], peft, 16, r"blocks"),
        "lora-hunyuan-video-kohya": lora(n["hunyuan-video"], kohya, 16, r"blocks.*(attn|mlp|mod|linear)"),
        "lora-hunyuan-video-comfy": lora(n["hunyuan-video-comfy"], dit, 16, r"blocks.*(attn|mlp|mod|linear)"),
        "lora-hunyuan-video-original": lora(n["hunyuan-video"], dit, 16, r"blocks.*(attn_|mlp)|linear"),
        "lora-ltx-comfy": lora(n["ltx"], dit, 16, r"transformer_blocks"),
        "lora-ltx2-comfy": lora(n["ltx2"], dit, 16, r"transformer_blocks"),
        "lora-hidream-peft": lora(n["hidream"], dit, 16, r"stream_blocks.*attn1|stream_blocks.*experts"),
        "lora-auraflow-peft": lora(n["auraflow-diffusers"], peft, 16, r"transformer_blocks"),
        "lora-auraflow-comfy": lora(n["auraflow"], dit, 16, r"_layers"),
        "lora-pixart-peft": lora(n["pixart-sigma-diffusers"], peft, 16, r"transformer_blocks"),
        "lora-pixart-original": lora(n["pixart-sigma"], dit, 16, r"blocks.*(attn|mlp)"),
        "lora-hunyuan-dit-kohya": lora(n["hunyuan-dit"], kohya, 16, r"blocks.*attn"),
        "lora-cosmos2-comfy": lora(n["cosmos2-2b"], dit, 16, r"blocks"),
        "lora-anima-comfy": lora(n["anima"], dit, 16, r"blocks"),
        "lora-mochi-comfy": lora(n["mochi"], dit, 16, r"blocks"),
        "lora-mochi-peft": lora(net.mochi_attention(), peft, 16, r"attn1"),
        "lora-mochi-queries": lora(net.mochi_attention(), peft, 16, r"attn1\.\{to_"),
        "lora-cogvideox-peft": lora(n["cogvideox-5b-i2v"], peft, 16, r"transformer_blocks.*attn1"),
        "lora-krea2-comfy": lora(n["krea2-diffusers"], peft, 16, r"transformer_blocks"),
        "lora-cascade-comfy": lora(fixture("stable-cascade-prior"), "unet.|.", 16, r"attention|kv_mapper"),
        "lora-wuerstchen-prior": lora(fixture("wuerstchen-prior"), "prior.|.", 16, r"attention|kv_mapper"),
        "lora-wuerstchen-decoder": lora(fixture("wuerstchen-decoder"), "decoder.|.", 16, r"attention|kv_mapper"),
        "lora-hunyuan-image-comfy": lora(n["hunyuan-image"], dit, 16, r"blocks.*(attn|mlp|mod|linear)"),
        "lora-ovis-peft": lora(n["ovis-diffusers"], peft, 16, r"transformer_blocks"),
        "lora-svd-peft": lora(fixture("svd-unet"), "unet.|.", 16, PLAIN_ATTENTION),
        "lora-llm": lora(parts.decoder_lm(4096, 32, 14336, 128256, 4096, 1024, 128), "base_model.model.|.", 16, r"self_attn"),
        "lora-motion": lora(parts.motion_module(), "|.", 64, r"attention_blocks"),
    }


def fixture(name: str) -> Listing:
    """A listing that `tests/fixtures/headers/make_listings.py` wrote from the network's own class."""
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "headers" / f"{name}.txt"
    x = Listing()
    x.lines = path.read_text().splitlines()
    return x


def main() -> None:
    folder = pathlib.Path(__file__).parent / "listings"
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.txt"):
        stale.unlink()
    everything = {**networks(), **companions(), **loras()}
    for name, listing in everything.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in listing.lines))
    print(f"{len(everything)} listings, {sum(path.stat().st_size for path in folder.glob('*.txt'))} bytes")


if __name__ == "__main__":
    main()
