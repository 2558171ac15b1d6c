//! Where tensors live: a Mac's GPU, an NVIDIA card when built for it, or the CPU.

use crate::error::EngineError;
use candle_core::{DType, Device};

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

/// How exactly a network computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// In f16 where a device sums products of f16 in f32, which is twice as fast and takes half of the memory.
    Half,
    Full,
}

impl Precision {
    /// The only place that chooses a type to compute in. The CPU's half-precision sums are wrong upstream, and CUDA's are
    /// proved by nobody here: both compute in f32 whatever is wished for.
    pub(crate) fn dtype(self, device: &Device) -> DType {
        if self == Self::Half && device.is_metal() { DType::F16 } else { DType::F32 }
    }

    /// Bytes of a value.
    pub(crate) const fn bytes(self, is_gpu: bool) -> u64 {
        if is_gpu && matches!(self, Self::Half) { 2 } else { 4 }
    }
}

/// What a machine without a way to ask is taken to have.
const UNKNOWN_BYTES: u64 = 16 << 30;

/// Bytes of memory that a device has for networks, beside what this process holds: what a Mac recommends for its GPU, and
/// what Linux can give without swapping. `held` is what the process would give back.
pub(crate) fn available_bytes(device: &Device, held: u64) -> u64 {
    #[cfg(target_os = "macos")]
    if let Ok(device) = device.as_metal_device() {
        // It counts what is already on the device.
        return device.metal_device().recommended_max_working_set_size() as u64;
    }
    let _ = device;
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let available = read("/proc/meminfo").and_then(|text| mem_available(&text));
    // A container may be allowed less than the machine has.
    let allowed = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let free = available.map(|bytes| bytes.saturating_add(held));
    free.into_iter().chain(allowed).min().unwrap_or(UNKNOWN_BYTES)
}

/// `MemAvailable` of proc_meminfo(5), in bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_computes_in_f32_whatever_is_wished_for() {
        assert_eq!(Precision::Half.dtype(&Device::Cpu), DType::F32);
        assert_eq!(Precision::Full.dtype(&Device::Cpu), DType::F32);
        assert_eq!((Precision::Half.bytes(false), Precision::Half.bytes(true), Precision::Full.bytes(true)), (4, 2, 4));
    }

    #[test]
    fn available_memory_is_read_as_linux_writes_it() {
        let text = "MemTotal:       24689788 kB\nMemFree:         1000000 kB\nMemAvailable:   23068672 kB\n";
        assert_eq!(mem_available(text), Some(23_068_672 * 1024));
        assert_eq!(mem_available("MemFree: 1 kB\n"), None);
        assert!(available_bytes(&Device::Cpu, 0) > 0);
    }
}
