//! Who may do what: descriptors for what only the agent and administrators may touch, and who owns a thing.

use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle;
use std::os::windows::io::AsRawHandle;
use std::os::windows::io::BorrowedHandle;
use std::os::windows::io::FromRawHandle;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::GENERIC_WRITE;
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::Authorization::ConvertStringSecurityDescriptorToSecurityDescriptorW;
use windows_sys::Win32::Security::Authorization::GetSecurityInfo;
use windows_sys::Win32::Security::Authorization::SDDL_REVISION_1;
use windows_sys::Win32::Security::Authorization::SE_FILE_OBJECT;
use windows_sys::Win32::Security::Authorization::SE_KERNEL_OBJECT;
use windows_sys::Win32::Security::Authorization::SE_OBJECT_TYPE;
use windows_sys::Win32::Security::Authorization::SetNamedSecurityInfoW;
use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;
use windows_sys::Win32::Security::GetSecurityDescriptorDacl;
use windows_sys::Win32::Security::GetTokenInformation;
use windows_sys::Win32::Security::OWNER_SECURITY_INFORMATION;
use windows_sys::Win32::Security::PROTECTED_DACL_SECURITY_INFORMATION;
use windows_sys::Win32::Security::PSECURITY_DESCRIPTOR;
use windows_sys::Win32::Security::PSID;
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Security::TOKEN_QUERY;
use windows_sys::Win32::Security::TOKEN_USER;
use windows_sys::Win32::Security::TokenUser;
use windows_sys::Win32::Storage::FileSystem::CREATE_NEW;
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::Storage::FileSystem::CreateFileW;
use windows_sys::Win32::Storage::FileSystem::FILE_ATTRIBUTE_NORMAL;
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_DELETE;
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_WRITE;
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::Win32::System::Threading::OpenProcessToken;

use crate::wide::checked;
use crate::wide::text_at;
use crate::wide::wide;

/// Everything to LocalSystem, the administrators and the owner (S-1-3-4), for what lies below, too; nothing to others,
/// and nothing inherited.
const OWNER_ONLY: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-3-4)";
/// What Explorer calls "Read & execute" and "Modify", as bits.
const READ_AND_EXECUTE: &str = "0x1200a9";
const MODIFY: &str = "0x1301bf";
/// LocalService and NetworkService: accounts of services, that nobody can log in with.
const OF_SERVICES: [&str; 2] = ["S-1-5-19", "S-1-5-20"];
/// What an account begins with that Windows makes for one service.
const OF_ONE_SERVICE: &str = "S-1-5-80-";
/// LocalSystem, the administrators, and what installs Windows itself.
const OF_THE_SYSTEM: [&str; 3] =
    ["S-1-5-18", "S-1-5-32-544", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"];

/// A security descriptor, freed when dropped.
pub(crate) struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// Returns one that gives everything to LocalSystem, the administrators and the owner, and nothing to others.
    pub(crate) fn owner_only() -> io::Result<Self> {
        Self::of_text(OWNER_ONLY)
    }

    /// Returns the same with this process's user as the owner, which else may be one of his groups.
    pub(crate) fn own_user_only() -> io::Result<Self> {
        Self::of_text(&format!("O:{}{OWNER_ONLY}", own_user()?))
    }

    fn of_text(text: &str) -> io::Result<Self> {
        let text = wide(text)?;
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends in 0, and `descriptor` is a place for the pointer. The size is not asked for.
        checked(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }

    /// Returns attributes that point to it, for as long as it lives.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from a function whose documentation says to free it so, and is used no more.
        unsafe { LocalFree(self.0) };
    }
}

/// Who may look into a folder beside LocalSystem, the administrators and its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    None,
    /// The account with this SID may read what is there.
    Read(&'static str),
    /// The account with this SID may write, too.
    Write(&'static str),
}

impl Others {
    fn entry(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Read(sid) => format!("(A;OICI;{READ_AND_EXECUTE};;;{sid})"),
            Self::Write(sid) => format!("(A;OICI;{MODIFY};;;{sid})"),
        }
    }
}

/// Makes one folder that only LocalSystem, the administrators, its owner and these others may look into.
pub fn create_folder(path: &Path, others: Others) -> io::Result<()> {
    let path = wide(path)?;
    let descriptor = Descriptor::of_text(&format!("{OWNER_ONLY}{}", others.entry()))?;
    let attributes = descriptor.attributes();
    // SAFETY: the path ends in 0; attributes and descriptor live until the call returns.
    checked(unsafe { CreateDirectoryW(path.as_ptr(), &attributes) })
}

/// Makes a file that is not there yet, through no link. From its first moment only LocalSystem, the administrators and
/// its owner may open it: whoever opened it before it is closed to him would go on reading.
pub fn create_file(path: &Path) -> io::Result<File> {
    let path = wide(path)?;
    let descriptor = Descriptor::owner_only()?;
    let attributes = descriptor.attributes();
    // SAFETY: the path ends in 0; attributes and descriptor live until the call returns; there is no template.
    let handle = unsafe {
        CreateFileW(
            path.as_ptr(),
            GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &attributes,
            CREATE_NEW,
            FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT,
            ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was just opened and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) }.into())
}

/// Takes a file or folder that is there from everybody but LocalSystem, the administrators and its owner.
pub fn close(path: &Path) -> io::Result<()> {
    let path = wide(path)?;
    let descriptor = Descriptor::owner_only()?;
    let (mut present, mut list, mut by_default) = (0, ptr::null_mut(), 0);
    // SAFETY: the descriptor is a whole one; the three are places for the answers.
    checked(unsafe { GetSecurityDescriptorDacl(descriptor.0, &mut present, &mut list, &mut by_default) })?;
    // No list at all would let everybody in.
    if present == 0 || list.is_null() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the path ends in 0; the list lies in the descriptor, which still lives; owner and group stay as they are.
    let error = unsafe {
        SetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            what,
            ptr::null_mut(),
            ptr::null_mut(),
            list,
            ptr::null(),
        )
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error as i32)) }
}

/// Returns who owns an open file or folder, as a SID's text.
pub fn owner(file: &File) -> io::Result<String> {
    owner_of(file.as_handle(), SE_FILE_OBJECT)
}

/// Returns who owns an open pipe, as a SID's text.
pub(crate) fn owner_of_pipe(pipe: BorrowedHandle<'_>) -> io::Result<String> {
    owner_of(pipe, SE_KERNEL_OBJECT)
}

fn owner_of(object: BorrowedHandle<'_>, kind: SE_OBJECT_TYPE) -> io::Result<String> {
    let mut owner: PSID = ptr::null_mut();
    let mut descriptor = ptr::null_mut();
    // SAFETY: the handle is open as long as it is borrowed, and both pointers are places for pointers.
    let error = unsafe {
        GetSecurityInfo(
            object.as_raw_handle(),
            kind,
            OWNER_SECURITY_INFORMATION,
            &mut owner,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut descriptor,
        )
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error as i32));
    }
    // The owner lies in it, so it lives until the text is made.
    let _descriptor = Descriptor(descriptor);
    // SAFETY: on success it is a SID within the descriptor, which still lives.
    unsafe { text_of(owner) }
}

/// Returns the user of this process, as a SID's text.
pub fn own_user() -> io::Result<String> {
    let mut token = ptr::null_mut();
    // SAFETY: it returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the pseudo handle of the own process is always good, and `token` is a place for a handle.
    checked(unsafe { OpenProcessToken(process, TOKEN_QUERY, &mut token) })?;
    // SAFETY: the handle was just opened and nobody else has it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // Of u64, so that the structure at its beginning is aligned. A SID has 68 bytes at most.
    let mut buffer = [0_u64; 32];
    let mut length = 0;
    // SAFETY: the buffer is writable for the length that is said.
    checked(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            buffer.as_mut_ptr().cast(),
            size_of_val(&buffer) as u32,
            &mut length,
        )
    })?;
    // SAFETY: on success the buffer begins with this structure, and is aligned for it.
    let user = unsafe { &*buffer.as_ptr().cast::<TOKEN_USER>() };
    // SAFETY: the SID lies in the buffer, which still lives.
    unsafe { text_of(user.User.Sid) }
}

/// Returns whether this is the user of this process, or one that may do everything anyhow.
pub fn is_trusted(sid: &str) -> bool {
    OF_THE_SYSTEM.contains(&sid) || own_user().is_ok_and(|own| own == sid)
}

/// Returns whether this is the account of a service, which no user has.
pub fn is_service(sid: &str) -> bool {
    OF_SERVICES.contains(&sid) || sid.starts_with(OF_ONE_SERVICE)
}

/// # Safety
///
/// `sid` points to a SID that stays as it is meanwhile.
unsafe fn text_of(sid: PSID) -> io::Result<String> {
    let mut text = ptr::null_mut();
    // SAFETY: the caller vouches for the SID; `text` is a place for a pointer.
    checked(unsafe { ConvertSidToStringSidW(sid, &mut text) })?;
    // SAFETY: on success it is a text that ends in 0, and ours.
    let shown = unsafe { text_at(text) };
    // SAFETY: the documentation says to free it so, and it is used no more.
    unsafe { LocalFree(text.cast()) };
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::windows::fs::OpenOptionsExt;

    #[test]
    fn a_folder_is_made_once_and_belongs_to_a_trusted_user() {
        let folder = std::env::temp_dir().join(format!("agent-lite-{}", std::process::id()));
        create_folder(&folder, Others::None).unwrap();
        assert_eq!(create_folder(&folder, Others::None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        // FILE_FLAG_BACKUP_SEMANTICS: without it no folder is opened.
        let open = File::options().read(true).custom_flags(0x0200_0000).open(&folder).unwrap();
        let owner = owner(&open).unwrap();
        assert!(is_trusted(&owner), "{owner}");
        let file = folder.join("agent.toml");
        std::fs::write(&file, "a").unwrap();
        close(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a", "its owner reads it");
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_file_of_secrets_is_made_closed_once_and_through_no_name_that_is_there() {
        use std::io::Write;
        let path = std::env::temp_dir().join(format!("agent-lite-secret-{}", std::process::id()));
        create_file(&path).unwrap().write_all(b"secret").unwrap();
        assert_eq!(create_file(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret", "its owner reads it");
        assert!(create_file(&path.join("below")).is_err());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_own_user_is_trusted_and_everybody_is_not() {
        assert!(is_trusted(&own_user().unwrap()));
        assert!(is_trusted("S-1-5-18") && !is_trusted("S-1-1-0"));
    }
}
