//! A generator that paints flat colours, step by step, as the test lets it.

use super::*;

/// Takes each step only when the test sends a permit; a closed channel permits everything.
pub(super) struct StepGenerator {
    pub(super) permits: mpsc::Receiver<()>,
    pub(super) asked: Arc<Mutex<Vec<PaintRequest>>>,
    pub(super) evicted: Arc<Notify>,
    /// Of what is painted, or was last.
    pub(super) steps: watch::Sender<Steps>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// The one under way, or the last one.
    pub(super) begun: u32,
    pub(super) taken: u32,
}

/// A prompt under which a step that is under way hears nothing.
pub(super) const LOOKS_BETWEEN_STEPS: &str = "looks between steps";

impl Generator for StepGenerator {
    fn inspector(&self) -> Arc<dyn Inspector> {
        Arc::new(headers::NobodyAsks)
    }

    fn upscale(
        &mut self,
        image: &PaintedImage,
        upscale: &Upscale<ModelFile>,
        _control: &dyn Control,
    ) -> Result<PaintedImage, Failure> {
        let scale = upscale.scale.unwrap_or(4.0) as u32;
        let (width, height) = (scale * image.width, scale * image.height);
        Ok(PaintedImage { seed: image.seed, width, height, rgb: vec![100; (3 * width * height) as usize] })
    }

    fn check(&mut self, control: &dyn Control) -> Result<Vec<EngineCheck>, Failure> {
        // As long as nothing is permitted, until the caller has gone.
        while let Err(mpsc::RecvTimeoutError::Timeout) = self.permits.recv_timeout(Duration::from_millis(1)) {
            if control.cancellation().is_wanted() {
                self.evicted.notify_one();
                return Err(Failure::new(ErrorClass::Cancelled, reason::CANCELLED, "cancelled"));
            }
        }
        Ok(Vec::new())
    }

    fn bench(&mut self, request: &PaintRequest, _control: &dyn Control) -> Result<EngineBench, Failure> {
        self.asked.lock().unwrap().push(request.clone());
        panic!("asked to");
    }

    fn evict(&mut self) {
        self.evicted.notify_one();
    }

    fn paint(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<Painting, Failure> {
        self.asked.lock().unwrap().push(request.clone());
        assert!(request.prompt != "panic", "asked to");
        let total_steps = request.steps.unwrap_or(4);
        let looks_within = request.prompt != LOOKS_BETWEEN_STEPS;
        self.steps.send_replace(Steps::default());
        for step in 1..=total_steps {
            if control.cancellation().is_wanted() {
                return Err(Failure::new(ErrorClass::Cancelled, reason::CANCELLED, "cancelled"));
            }
            self.steps.send_modify(|steps| steps.begun = step);
            // A step may wait for its permit for ever; the wish to cancel is seen all the same.
            loop {
                if looks_within && control.cancellation().is_wanted() {
                    return Err(Failure::new(ErrorClass::Cancelled, reason::CANCELLED, "cancelled"));
                }
                match self.permits.recv_timeout(Duration::from_millis(1)) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
            self.steps.send_modify(|steps| steps.taken = step);
            if control.wants_preview() {
                control.preview(PaintPreview { image_index: 0, step, width: 2, height: 1, rgb: vec![9; 6] });
            }
            control.progress(Progress { phase: Phase::Sampling, step, total_steps, image_index: 0, image_count: 1 });
        }
        let settings = PaintSettings {
            architecture: Architecture::Sd1,
            steps: total_steps,
            guidance_scale: 7.0,
            image_guidance_scale: None,
            sampler: Sampler::Euler,
            schedule: Schedule::Normal,
            width: 8,
            height: 8,
            clip_skip: 1,
            strength: None,
            noise: request.noise,
            guidance_rescale: 0.0,
            hires: None,
        };
        let images = (0..u64::from(request.count))
            .map(|k| PaintedImage { seed: request.seed + k, width: 8, height: 8, rgb: vec![200; 192] })
            .collect();
        Ok(Painting { settings, embeddings: Vec::new(), images, warnings: vec!["all of it is flat".to_owned()] })
    }
}
