//! What a file or model is. The hub's own words are kept beside these, verbatim; these are for decisions.

macro_rules! closed_names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, as stored, sent and printed.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a stable name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use closed_names;

closed_names! {
    /// The kind of weights a model page or file holds.
    ModelKind {
        Checkpoint = "checkpoint",
        Lora = "lora",
        TextualInversion = "textual_inversion",
        Vae = "vae",
        ControlNet = "controlnet",
        Upscaler = "upscaler",
        TextEncoder = "text_encoder",
        /// A bare denoising network without text encoder and VAE.
        Network = "network",
        /// Known to be something else (poses, workflows, wildcards …).
        Other = "other",
        Unknown = "unknown",
    }
}

closed_names! {
    /// The network architecture that we detect from tensor names and shapes; never taken from a label.
    ///
    /// Merges and fine-tunes share every name with what they were made of: Pony, Illustrious and NoobAI are `sdxl`,
    /// Turbo and Lightning are what they were distilled from. A hub's label says more, and is kept beside this.
    Architecture {
        Sd1 = "sd1",
        Sd2 = "sd2",
        /// Stable Diffusion 2.1 that paints from an image's CLIP embedding.
        Sd2Unclip = "sd2_unclip",
        SdX4Upscaler = "sd_x4_upscaler",
        Sdxl = "sdxl",
        SdxlRefiner = "sdxl_refiner",
        /// SDXL with fewer transformer blocks, which its adapters do not fit.
        Ssd1b = "ssd_1b",
        SegmindVega = "segmind_vega",
        Koala = "koala",
        Kolors = "kolors",
        Svd = "svd",
        Sd3 = "sd3",
        Flux1 = "flux1",
        Flux2 = "flux2",
        Chroma = "chroma",
        OvisImage = "ovis_image",
        LongCatImage = "longcat_image",
        AuraFlow = "auraflow",
        PixArt = "pixart",
        Sana = "sana",
        LuminaNext = "lumina_next",
        Lumina2 = "lumina2",
        ZImage = "z_image",
        OmniGen2 = "omnigen2",
        HunyuanDit = "hunyuan_dit",
        HunyuanImage = "hunyuan_image",
        HunyuanVideo = "hunyuan_video",
        Wuerstchen = "wuerstchen",
        StableCascade = "stable_cascade",
        Kandinsky2 = "kandinsky2",
        Kandinsky5 = "kandinsky5",
        CogView3 = "cogview3",
        CogView4 = "cogview4",
        CogVideoX = "cogvideox",
        HiDream = "hidream",
        /// Cosmos 1.0 and Predict 2.
        Cosmos = "cosmos",
        Anima = "anima",
        /// LTX-Video, picture only.
        Ltx = "ltx_video",
        /// LTX-2, picture and sound.
        Ltx2 = "ltx2",
        Mochi = "mochi",
        /// Wan 2.1 and 2.2.
        Wan = "wan",
        QwenImage = "qwen_image",
        Krea2 = "krea2",
        ErnieImage = "ernie_image",
        StableAudio = "stable_audio",
        Unknown = "unknown",
    }
}

closed_names! {
    /// A file's container format.
    FileFormat {
        Safetensors = "safetensors",
        Gguf = "gguf",
        /// A Python pickle (`.ckpt`, `.pt`, `.bin`): listed, never run.
        Pickle = "pickle",
        /// zip, tar and the like: never unpacked.
        Archive = "archive",
        Json = "json",
        Text = "text",
        Image = "image",
        Onnx = "onnx",
        Other = "other",
    }
}

impl FileFormat {
    /// Whether files of it hold tensors in a form that is opened: the formats that a model can be painted with.
    #[must_use]
    pub fn is_weights(self) -> bool {
        matches!(self, Self::Safetensors | Self::Gguf)
    }

    /// What a file name's ending promises. The bytes decide; this only chooses what to ask for.
    #[must_use]
    pub fn from_file_name(name: &str) -> Self {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
        match ending.as_str() {
            "safetensors" | "sft" => Self::Safetensors,
            "gguf" => Self::Gguf,
            "ckpt" | "pt" | "pth" | "bin" | "pkl" => Self::Pickle,
            "zip" | "tar" | "gz" | "7z" | "rar" => Self::Archive,
            "json" => Self::Json,
            "txt" | "md" | "yaml" | "yml" => Self::Text,
            "png" | "jpg" | "jpeg" | "webp" | "gif" => Self::Image,
            "onnx" => Self::Onnx,
            _ => Self::Other,
        }
    }
}
