//! Secrets on the disk, sealed by the system (DPAPI).
//!
//! They are sealed for the machine, not for a user: an administrator onboards, and the service, another user, reads.
//! Whoever may run programs on the machine could unseal what he may read, so it is the permissions of the folder that
//! keep other users out, and the seal that makes a copy of the file useless anywhere else.

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Cryptography::CRYPT_INTEGER_BLOB;
use windows_sys::Win32::Security::Cryptography::CRYPTPROTECT_LOCAL_MACHINE;
use windows_sys::Win32::Security::Cryptography::CRYPTPROTECT_UI_FORBIDDEN;
use windows_sys::Win32::Security::Cryptography::CryptProtectData;
use windows_sys::Win32::Security::Cryptography::CryptUnprotectData;

use crate::wide::checked;

/// Seals a secret for this machine.
pub fn seal(secret: &[u8]) -> io::Result<Vec<u8>> {
    let given = blob(secret)?;
    let mut sealed = Sealed::none();
    // SAFETY: the blob points to the secret, which is only read; what is null is optional; `sealed` is a place for a
    // blob that the call allocates.
    checked(unsafe {
        CryptProtectData(
            &given,
            ptr::null(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
            CRYPTPROTECT_LOCAL_MACHINE | CRYPTPROTECT_UI_FORBIDDEN,
            &mut sealed.0,
        )
    })?;
    Ok(sealed.bytes().to_vec())
}

/// Returns the secret that was sealed on this machine.
pub fn unseal(sealed: &[u8]) -> io::Result<Vec<u8>> {
    let given = blob(sealed)?;
    let mut secret = Sealed::none();
    // SAFETY: as in `seal`.
    checked(unsafe {
        CryptUnprotectData(
            &given,
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
            CRYPTPROTECT_UI_FORBIDDEN,
            &mut secret.0,
        )
    })?;
    Ok(secret.bytes().to_vec())
}

/// Bytes that the system allocated; wiped and freed when dropped.
struct Sealed(CRYPT_INTEGER_BLOB);

impl Sealed {
    fn none() -> Self {
        Self(CRYPT_INTEGER_BLOB { cbData: 0, pbData: ptr::null_mut() })
    }

    fn bytes(&self) -> &[u8] {
        match self.0.pbData.is_null() {
            true => &[],
            // SAFETY: the call that filled the blob says that so many bytes are there, and they are ours until freed.
            false => unsafe { std::slice::from_raw_parts(self.0.pbData, self.0.cbData as usize) },
        }
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if self.0.pbData.is_null() {
            return;
        }
        for at in 0..self.0.cbData as usize {
            // SAFETY: within the allocation, which nobody else has. Volatile, so that it is not left out.
            unsafe { ptr::write_volatile(self.0.pbData.wrapping_add(at), 0) };
        }
        // SAFETY: the documentation says to free it so, and it is used no more.
        unsafe { LocalFree(self.0.pbData.cast()) };
    }
}

fn blob(bytes: &[u8]) -> io::Result<CRYPT_INTEGER_BLOB> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok(CRYPT_INTEGER_BLOB { cbData: length, pbData: bytes.as_ptr().cast_mut() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_and_does_not_lie_open() {
        for secret in [&b"-----BEGIN PRIVATE KEY-----"[..], &[7; 5000]] {
            let sealed = seal(secret).unwrap();
            assert!(!sealed.windows(secret.len()).any(|part| part == secret));
            assert_eq!(unseal(&sealed).unwrap(), secret);
        }
    }

    #[test]
    fn what_was_changed_or_never_sealed_is_refused() {
        let mut sealed = seal(b"secret").unwrap();
        assert!(unseal(b"").is_err() && unseal(b"secret").is_err());
        let last = sealed.len() / 2;
        sealed.truncate(last);
        assert!(unseal(&sealed).is_err());
    }
}
