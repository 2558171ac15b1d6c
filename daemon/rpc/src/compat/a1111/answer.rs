//! Pictures in A1111's form: `images` in base64, `parameters` as they were asked for, and `info`, a text of JSON that says how
//! each picture was made (`modules/processing.py`, `Processed.js`).

use super::asked::Asked;
use crate::compat::Compat;
use crate::compat::fields::Fields;
use crate::compat::problem::Problem;
use jiff::tz::TimeZone;
use paintbox_catalogue::GenerationRecord;
use paintbox_generation::{a1111_names, parameters, settings_from_json, spec_from_json, warnings_from_json};
use serde_json::{Map, Value, json};

/// Fields of a request that answers repeat: A1111's own (`StableDiffusionProcessingTxt2Img`, `…Img2Img` and what the API adds)
/// but for pictures. Whatever else a front end sends, such as an address with its password, is not given back.
const REPEATED: [&str; 57] = [
    "prompt",
    "negative_prompt",
    "styles",
    "seed",
    "subseed",
    "subseed_strength",
    "seed_resize_from_h",
    "seed_resize_from_w",
    "sampler_name",
    "sampler_index",
    "scheduler",
    "batch_size",
    "n_iter",
    "steps",
    "cfg_scale",
    "distilled_cfg_scale",
    "width",
    "height",
    "restore_faces",
    "tiling",
    "do_not_save_samples",
    "do_not_save_grid",
    "eta",
    "denoising_strength",
    "s_min_uncond",
    "s_churn",
    "s_tmax",
    "s_tmin",
    "s_noise",
    "override_settings",
    "override_settings_restore_afterwards",
    "refiner_checkpoint",
    "refiner_switch_at",
    "enable_hr",
    "hr_scale",
    "hr_upscaler",
    "hr_second_pass_steps",
    "hr_resize_x",
    "hr_resize_y",
    "hr_checkpoint_name",
    "hr_sampler_name",
    "hr_scheduler",
    "hr_prompt",
    "hr_negative_prompt",
    "resize_mode",
    "image_cfg_scale",
    "mask_blur",
    "mask_blur_x",
    "mask_blur_y",
    "inpainting_fill",
    "inpaint_full_res",
    "inpaint_full_res_padding",
    "inpainting_mask_invert",
    "send_images",
    "save_images",
    "force_task_id",
    "infotext",
];

/// What is answered with once the pictures are there.
pub(super) struct Answer {
    remarks: Vec<String>,
    sends_images: bool,
    batch_size: u32,
    parameters: Map<String, Value>,
}

impl Answer {
    /// `with_images` repeats the picture that was painted over.
    pub(super) fn new(asked: &Asked, fields: &Fields, with_images: bool) -> Self {
        let pictures = ["init_images", "mask"].into_iter().filter(|_| with_images);
        let names = REPEATED.into_iter().chain(pictures);
        let parameters = names.filter_map(|name| Some((name.to_owned(), fields.value(name)?.clone()))).collect();
        let Asked { remarks, sends_images, batch_size, .. } = asked;
        Self { remarks: remarks.clone(), sends_images: *sends_images, batch_size: *batch_size, parameters }
    }

    /// Of what was interrupted: what was done by then, which A1111 answers with as well (`modules/processing.py`,
    /// `process_images_inner`).
    pub(super) fn interrupted(mut self) -> Self {
        self.remarks.push("it was interrupted before all pictures were done".to_owned());
        self
    }

    pub(super) async fn whole(self, compat: &Compat, record: &GenerationRecord) -> Result<Value, Problem> {
        let mut images = Vec::new();
        if self.sends_images {
            for image in &record.images {
                images.push(compat.base64_of(image.asset).await?);
            }
        }
        let info = info(record, self.batch_size, self.remarks).to_string();
        Ok(json!({ "images": images, "parameters": self.parameters, "info": info }))
    }
}

fn info(record: &GenerationRecord, batch_size: u32, mut remarks: Vec<String>) -> Value {
    let spec = spec_from_json(&record.spec_json).unwrap_or_default();
    let settings = record.settings_json.as_deref().and_then(settings_from_json);
    let said = record.images.first().map(|image| parameters(&image.parameters_text)).unwrap_or_default();
    let said = |name: &str| said.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let seeds: Vec<u64> = record.images.iter().map(|image| image.seed).collect();
    let subseed = spec.noise.subseed.map_or_else(|| json!(-1), |subseed| json!(subseed));
    let resize_from = spec.noise.resize_from.map_or((-1, -1), |(width, height)| (i64::from(width), i64::from(height)));
    let texts: Vec<&str> = record.images.iter().map(|image| image.parameters_text.as_str()).collect();
    let size = record.images.first().map(|image| (image.width, image.height)).unwrap_or_default();
    let count = record.images.len();
    remarks.extend(record.settings_json.as_deref().map(warnings_from_json).unwrap_or_default());
    json!({
        "prompt": spec.prompt,
        "all_prompts": vec![&spec.prompt; count],
        "negative_prompt": spec.negative_prompt,
        "all_negative_prompts": vec![&spec.negative_prompt; count],
        "seed": seeds.first().copied().or(spec.seed),
        "all_seeds": seeds,
        "subseed": subseed,
        "all_subseeds": vec![subseed.clone(); count],
        "subseed_strength": spec.noise.subseed_strength.unwrap_or(0.0),
        "width": settings.as_ref().map_or(size.0, |settings| settings.width),
        "height": settings.as_ref().map_or(size.1, |settings| settings.height),
        "sampler_name": settings.as_ref().map(|settings| a1111_names::of_sampler(settings.sampler)),
        "cfg_scale": settings.as_ref().map(|settings| settings.guidance_scale),
        "steps": settings.as_ref().map(|settings| settings.steps),
        "batch_size": batch_size,
        "restore_faces": false,
        "face_restoration_model": null,
        "sd_model_name": said("Model"),
        "sd_model_hash": said("Model hash"),
        "sd_vae_name": said("VAE"),
        "sd_vae_hash": said("VAE hash"),
        "seed_resize_from_w": resize_from.0,
        "seed_resize_from_h": resize_from.1,
        "denoising_strength": settings.as_ref().and_then(|settings| settings.strength),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": texts,
        "styles": [],
        "job_timestamp": timestamp(record),
        "clip_skip": settings.as_ref().map(|settings| settings.clip_skip),
        "is_using_inpainting_conditioning": false,
        "version": said("Version"),
        // Ours: what was asked for and not done.
        "remarks": remarks,
        "generation": format!("generations/{}", record.uid),
    })
}

/// When it was asked for, such as 20261128190405, in UTC.
fn timestamp(record: &GenerationRecord) -> String {
    let moment = jiff::Timestamp::from_millisecond(record.created_at.unix_ms()).unwrap_or_default();
    moment.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string()
}
