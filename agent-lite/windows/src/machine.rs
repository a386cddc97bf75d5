//! What the machine says of itself.

use std::io;
use std::ptr;

use windows_sys::Win32::System::Registry::HKEY_LOCAL_MACHINE;
use windows_sys::Win32::System::Registry::RRF_RT_REG_DWORD;
use windows_sys::Win32::System::Registry::RRF_RT_REG_SZ;
use windows_sys::Win32::System::Registry::RRF_SUBKEY_WOW6464KEY;
use windows_sys::Win32::System::Registry::RegGetValueW;
use windows_sys::Win32::System::SystemInformation::ComputerNameDnsFullyQualified;
use windows_sys::Win32::System::SystemInformation::GetComputerNameExW;
use windows_sys::Win32::System::SystemInformation::GetSystemFirmwareTable;
use windows_sys::Win32::System::SystemInformation::RSMB;

use crate::wide::checked;
use crate::wide::text;
use crate::wide::wide;

/// Longest text that is read, in units of UTF-16.
const LONGEST: usize = 1024;
/// Largest table of the firmware that is read, in bytes.
const LARGEST_TABLE: usize = 1024 * 1024;
const VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
/// The first build of Windows 11, which still calls itself 10 there.
const WINDOWS_11: u32 = 22_000;

/// The name and version of Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `Windows Server 2022 Datacenter`.
    pub name: String,
    /// `10.0.20348`.
    pub number: String,
}

/// Returns the machine's name, with its domain if it has one.
pub fn computer_name() -> io::Result<String> {
    let mut buffer = [0_u16; LONGEST];
    let mut length = buffer.len() as u32;
    // SAFETY: the buffer is writable for the length that is said.
    checked(unsafe { GetComputerNameExW(ComputerNameDnsFullyQualified, buffer.as_mut_ptr(), &mut length) })?;
    Ok(text(&buffer))
}

/// Returns what Windows calls itself.
pub fn version() -> Version {
    let words = |name| registry_text(VERSION, name);
    let numbers = |name| registry_number(VERSION, name);
    let build = words("CurrentBuild").or_else(|| words("CurrentBuildNumber")).unwrap_or_default();
    let number = match (numbers("CurrentMajorVersionNumber"), numbers("CurrentMinorVersionNumber")) {
        (Some(major), Some(minor)) => format!("{major}.{minor}.{build}"),
        _ => format!("{}.{build}", words("CurrentVersion").unwrap_or_default()),
    };
    let name = words("ProductName").unwrap_or_else(|| "Windows".to_owned());
    let is_client = words("InstallationType").is_some_and(|kind| kind == "Client");
    let name = match build.parse() {
        Ok(WINDOWS_11..) if is_client => name.replacen("Windows 10", "Windows 11", 1),
        _ => name,
    };
    Version { name, number }
}

/// Returns the number that Windows was given when it was installed; a copy of a disk has the same.
pub fn machine_guid() -> Option<String> {
    registry_text(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")
}

/// Returns the UUID of the hardware, or of the virtual machine, lower case.
pub fn hardware_uuid() -> Option<String> {
    uuid_of(&firmware_table()?)
}

fn registry_text(key: &str, name: &str) -> Option<String> {
    let (key, name) = (wide(key).ok()?, wide(name).ok()?);
    let mut buffer = [0_u16; LONGEST];
    let mut length = size_of_val(&buffer) as u32;
    // SAFETY: key and name end in 0; the buffer is writable for the bytes that are said; the type is not asked for.
    let error = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            buffer.as_mut_ptr().cast(),
            &mut length,
        )
    };
    Some(text(&buffer)).filter(|text| error == 0 && !text.is_empty())
}

fn registry_number(key: &str, name: &str) -> Option<u32> {
    let (key, name) = (wide(key).ok()?, wide(name).ok()?);
    let mut number = 0_u32;
    let mut length = size_of_val(&number) as u32;
    // SAFETY: as in `registry_text`; a number of this type has four bytes.
    let error = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_DWORD | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            (&raw mut number).cast(),
            &mut length,
        )
    };
    (error == 0).then_some(number)
}

fn firmware_table() -> Option<Vec<u8>> {
    // SAFETY: without a buffer the call only says how long the table is.
    let length = unsafe { GetSystemFirmwareTable(RSMB, 0, ptr::null_mut(), 0) } as usize;
    let mut table = vec![0; Some(length).filter(|length| (1..=LARGEST_TABLE).contains(length))?];
    // SAFETY: the buffer is writable for the length that is said.
    let read = unsafe { GetSystemFirmwareTable(RSMB, 0, table.as_mut_ptr(), length as u32) } as usize;
    (read == length).then_some(table)
}

/// Finds the UUID in the table (SMBIOS specification, 7.2.1): after 8 bytes, structures, each with its type, its length,
/// and texts behind it that end in two zeros.
fn uuid_of(table: &[u8]) -> Option<String> {
    let mut rest = table.get(8..)?;
    while let [kind, length, ..] = *rest {
        let structure = rest.get(..length.into())?;
        if kind == 1 {
            let uuid: [u8; 16] = structure.get(8..24)?.try_into().ok()?;
            return uuid_text(uuid);
        }
        let texts = rest.get(length.into()..)?;
        let end = texts.windows(2).position(|pair| pair == [0, 0])? + 2;
        rest = texts.get(end..)?;
    }
    None
}

/// Writes a UUID whose first three fields have their lowest byte first; all bits alike mean that there is none.
fn uuid_text(uuid: [u8; 16]) -> Option<String> {
    if uuid == [0; 16] || uuid == [0xff; 16] {
        return None;
    }
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (at, from) in order.into_iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", uuid.get(from).copied().unwrap_or_default()));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_says_its_name_and_version() {
        let version = version();
        assert!(version.name.contains("Windows"), "{version:?}");
        assert!(version.number.split('.').count() >= 2, "{version:?}");
        assert!(!computer_name().unwrap().is_empty());
        let guid = machine_guid().unwrap();
        assert_eq!(guid.len(), 36, "{guid}");
    }

    #[test]
    fn the_uuid_stands_in_the_table_of_the_firmware() {
        let uuid: Vec<u8> = (0..16).collect();
        let mut table = vec![0; 8];
        table.extend([0, 4, 1, 0]);
        table.extend(b"vendor\0version\0\0");
        table.extend([1, 27, 2, 0, 1, 2, 3, 4]);
        table.extend(&uuid);
        table.extend([6, 0, 0]);
        table.extend([0, 0]);
        assert_eq!(uuid_of(&table).as_deref(), Some("03020100-0504-0706-0809-0a0b0c0d0e0f"));
        for length in 0..table.len() {
            let _ = uuid_of(&table[..length]);
        }
        assert_eq!(uuid_text([0xff; 16]), None);
    }
}
