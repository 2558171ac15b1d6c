//! Where tensors live: a Mac's GPU, an NVIDIA card when built for it, or the CPU.

use crate::error::EngineError;
use candle_core::Device;

/// Which device to compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The best one that this build and machine have; never an error.
    #[default]
    Auto,
    Cpu,
    /// The GPU of a Mac.
    Metal,
    /// The first NVIDIA card; needs the `cuda` feature.
    Cuda,
}

impl DeviceChoice {
    /// # Errors
    /// [`EngineError::Device`] when a device is asked for by name and this build or machine has none.
    pub(crate) fn open(self) -> Result<Device, EngineError> {
        let metal = || Device::new_metal(0);
        let cuda = || Device::new_cuda(0);
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Metal => metal().map_err(|source| EngineError::Device { wanted: "metal", source }),
            Self::Cuda => cuda().map_err(|source| EngineError::Device { wanted: "cuda", source }),
            Self::Auto => Ok(best(metal, cuda)),
        }
    }
}

fn best(
    metal: impl FnOnce() -> candle_core::Result<Device>,
    cuda: impl FnOnce() -> candle_core::Result<Device>,
) -> Device {
    let opened = if cfg!(target_os = "macos") {
        metal()
    } else if cfg!(feature = "cuda") {
        cuda()
    } else {
        return Device::Cpu;
    };
    opened.unwrap_or_else(|error| {
        tracing::warn!(%error, "no GPU could be opened; painting on the CPU");
        Device::Cpu
    })
}

/// The device's name for logs and `doctor`.
pub(crate) fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}
