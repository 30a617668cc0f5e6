//! What a device has to give.

use tch::Device;

/// Bytes of memory that are to be had on `device`; `None` where the system does not tell.
pub fn available_memory(device: Device) -> Option<u64> {
    if device != Device::Cpu {
        return None;
    }
    let info = fs_err::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some() {
        assert!(available_memory(Device::Cpu).unwrap() > 1 << 20);
        assert_eq!(available_memory(Device::Cuda(0)), None);
    }
}
