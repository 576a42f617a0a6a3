//! `serve --user`: what only root may do comes first, and then the process is somebody else for good.
//!
//! Bound as root: the ports. Made as root, if they are not there, and given to the user: the state folder and that of
//! compiled flows. All else is the user's own doing, from the first thread on. Deliberately drops before there is a second
//! thread: what is said to the kernel then holds for every thread and every child that will ever be. Entry points:
//! [`Identity`], the argument, and [`Identity::assume`]. Invariant: after it the process has one user, one group, the groups of
//! that user and no capability, can get none back, and has looked; or there is an error, and nothing may be served.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgroups, initgroups, setgroups, setresgid, setresuid};
use rustix::fs::{Access, OFlags, access};

use crate::admin::{DoorError, Ports};
use crate::config::Config;
use crate::wire::{Sockets, WireError};

/// Files of a folder that are looked at: more than a host keeps.
const FILES_MAX: usize = 20_000;

/// `--user NAME[:GROUP]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    user: String,
    group: Option<String>,
}

/// What was opened before.
pub(super) struct Opened {
    pub(super) sockets: Sockets,
    pub(super) ports: Ports,
    /// Where compiled flows are.
    pub(super) cache: PathBuf,
    /// What the operator should know of what the user cannot do.
    pub(super) warnings: Vec<String>,
}

/// The process did not become the user.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    #[error("{0:?} is no user: write NAME or NAME:GROUP, each a name or a number")]
    Unreadable(String),
    #[error(
        "--user {0}: only root can become another user; start callbox as root, or as that user without --user"
    )]
    NotRoot(String),
    #[error("--user {0}: there is no such user; useradd --system --no-create-home {0} makes one")]
    NoUser(String),
    #[error("--user {0}: there is no such group; groupadd --system {0} makes one")]
    NoGroup(String),
    #[error("--user {0}: a number without a name has no group; write {0}:GROUP")]
    Groupless(String),
    #[error("--user {0} is root or of its group, and nothing would be dropped; name a user of callbox's own")]
    Root(String),
    #[error("cannot look up {name}: {error}")]
    Lookup { name: String, error: io::Error },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("{what} {path} cannot be used: {error}; make it, or name another with {key}", path = path.display())]
    Folder {
        what: &'static str,
        path: PathBuf,
        key: &'static str,
        error: io::Error,
    },
    #[error("{what} {path} is not the user's: {found} belongs to user {owner}. Run: chown -R {user} {path}", path = path.display(), found = found.display())]
    Owner {
        what: &'static str,
        path: PathBuf,
        found: PathBuf,
        owner: u32,
        user: String,
    },
    #[error("user {user} may not {may} {path}: {error}; give it that, or name another place with {key}", path = path.display())]
    Denied {
        user: String,
        may: &'static str,
        path: PathBuf,
        key: &'static str,
        error: io::Error,
    },
    #[error("cannot drop the rights of root ({step}): {error}; nothing is served")]
    Drop { step: &'static str, error: io::Error },
    #[error("the rights of root are not gone ({0}); nothing is served")]
    Kept(String),
}

impl UserError {
    /// Whether it is a mistake of the command line or of how callbox was started.
    pub(super) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Unreadable(_)
                | Self::NotRoot(_)
                | Self::NoUser(_)
                | Self::NoGroup(_)
                | Self::Groupless(_)
                | Self::Root(_)
        )
    }
}

impl FromStr for Identity {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let fits = |name: &str| !name.is_empty() && !name.contains([':', '\0']);
        if !fits(user) || !group.is_none_or(fits) {
            return Err(UserError::Unreadable(text.to_owned()));
        }
        Ok(Self {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

/// Whom the process will be.
struct Person {
    /// None of a number that has no name.
    name: Option<CString>,
    uid: Uid,
    gid: Gid,
}

impl Identity {
    /// Opens what root is needed for, and becomes the user. To be called while the process has one thread.
    ///
    /// # Errors
    /// [`UserError`]: the process may still be root, partly or whole, and must end.
    pub(super) fn assume(&self, config: &Config, file: &Path) -> Result<Opened, UserError> {
        if !geteuid().is_root() {
            return Err(UserError::NotRoot(self.user.clone()));
        }
        let person = self.look_up()?;
        let sockets = Sockets::bind(&config.listen, config.limits.wire.udp_socket_buffer_bytes)?;
        let ports = Ports::bind(&config.admin, &config.metrics)?;
        let state = "the state folder";
        self.provide(state, &config.state_dir, "state_dir", &person)?;
        // The default is in the home of root, which is somebody else's from now on.
        let cache = config
            .cache_dir
            .clone()
            .unwrap_or_else(|| config.state_dir.join("cache"));
        self.provide("the folder of compiled flows", &cache, "cache_dir", &person)?;

        person.become_it()?;
        person.look()?;

        self.may(
            "write in",
            &config.state_dir,
            "state_dir",
            Access::WRITE_OK | Access::EXEC_OK,
        )?;
        self.may(
            "write in",
            &cache,
            "cache_dir",
            Access::WRITE_OK | Access::EXEC_OK,
        )?;
        if let Some(folder) = config.admin.socket.parent() {
            self.may(
                "write in",
                folder,
                "[admin] socket",
                Access::WRITE_OK | Access::EXEC_OK,
            )?;
        }
        Ok(Opened {
            sockets,
            ports,
            cache,
            warnings: self.warnings(file),
        })
    }

    fn look_up(&self) -> Result<Person, UserError> {
        let lookup = |error: nix::Error| UserError::Lookup {
            name: self.user.clone(),
            error: error.into(),
        };
        let mut found = User::from_name(&self.user).map_err(lookup)?;
        let number = self.user.parse().ok().map(Uid::from_raw);
        if let (None, Some(uid)) = (&found, number) {
            found = User::from_uid(uid).map_err(lookup)?;
        }
        let group = match &self.group {
            None => None,
            Some(name) => Some(match Group::from_name(name).map_err(lookup)? {
                Some(group) => group.gid,
                None => Gid::from_raw(name.parse().map_err(|_| UserError::NoGroup(name.clone()))?),
            }),
        };
        let person = match (found, number) {
            (Some(user), _) => Person {
                name: CString::new(user.name).ok(),
                uid: user.uid,
                gid: group.unwrap_or(user.gid),
            },
            (None, Some(uid)) => Person {
                name: None,
                uid,
                gid: group.ok_or_else(|| UserError::Groupless(self.user.clone()))?,
            },
            (None, None) => return Err(UserError::NoUser(self.user.clone())),
        };
        if person.uid.is_root() || person.gid.as_raw() == 0 {
            return Err(UserError::Root(self.user.clone()));
        }
        Ok(person)
    }

    /// Makes a folder of the user's if there is none; one that is there must be the user's with all that is in it, because
    /// root gives nothing away that it has not made just now.
    fn provide(
        &self,
        what: &'static str,
        path: &Path,
        key: &'static str,
        person: &Person,
    ) -> Result<(), UserError> {
        let failed = |error| UserError::Folder {
            what,
            path: path.to_owned(),
            key,
            error,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => return hand_over(path, person).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        match stranger(path, person.uid).map_err(failed)? {
            None => Ok(()),
            Some((found, owner)) => Err(UserError::Owner {
                what,
                path: path.to_owned(),
                found,
                owner,
                user: format!("{}:{}", self.user, person.gid),
            }),
        }
    }

    fn may(
        &self,
        may: &'static str,
        path: &Path,
        key: &'static str,
        wanted: Access,
    ) -> Result<(), UserError> {
        access(path, wanted).map_err(|error| UserError::Denied {
            user: self.user.clone(),
            may,
            path: path.to_owned(),
            key,
            error: error.into(),
        })
    }

    /// What works now and will not later: the configuration was read as root.
    fn warnings(&self, file: &Path) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Err(error) = Config::load_whole(file) {
            warnings.push(format!(
                "user {} cannot read the configuration that root has read, so no reload will succeed: {error}",
                self.user
            ));
        }
        if let Ok(program) = std::env::current_exe()
            && let Err(error) = access(&program, Access::EXEC_OK)
        {
            warnings.push(format!(
                "user {} may not run {}, so no flow can be compiled: {error}",
                self.user,
                program.display()
            ));
        }
        warnings
    }
}

impl Person {
    fn become_it(&self) -> Result<(), UserError> {
        let step = |step| {
            move |error: nix::Error| UserError::Drop {
                step,
                error: error.into(),
            }
        };
        one_thread()?;
        // Groups first and the user last: who is no longer root can change none of them.
        match &self.name {
            Some(name) => initgroups(name, self.gid).map_err(step("initgroups"))?,
            None => setgroups(&[self.gid]).map_err(step("setgroups"))?,
        }
        setresgid(self.gid, self.gid, self.gid).map_err(step("setresgid"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(step("setresuid"))?;
        rustix::thread::set_no_new_privs(true).map_err(|error| UserError::Drop {
            step: "no_new_privs",
            error: error.into(),
        })
    }

    /// Believes nobody.
    fn look(&self) -> Result<(), UserError> {
        let kept = |what: &str| Err(UserError::Kept(what.to_owned()));
        let failed = |error: io::Error| UserError::Kept(error.to_string());
        let user = nix::unistd::getresuid().map_err(|error| failed(error.into()))?;
        if [user.real, user.effective, user.saved] != [self.uid; 3] {
            return kept("the user is another");
        }
        let group = nix::unistd::getresgid().map_err(|error| failed(error.into()))?;
        if [group.real, group.effective, group.saved] != [self.gid; 3] {
            return kept("the group is another");
        }
        let groups = getgroups().map_err(|error| failed(error.into()))?;
        if groups.iter().any(|group| group.as_raw() == 0) {
            return kept("it is in the group of root");
        }
        let capabilities = rustix::thread::capabilities(None).map_err(|error| failed(error.into()))?;
        if !(capabilities.effective.is_empty() && capabilities.permitted.is_empty()) {
            return kept("it has capabilities");
        }
        if !rustix::thread::no_new_privs().map_err(|error| failed(error.into()))? {
            return kept("no_new_privs is not set");
        }
        if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
            return kept("it can become root again");
        }
        Ok(())
    }
}

/// `no_new_privs` is a thread's own: a second one would go on without it.
fn one_thread() -> Result<(), UserError> {
    let threads = fs::read_dir("/proc/self/task").map_err(|error| UserError::Drop {
        step: "counting the threads in /proc",
        error,
    })?;
    match threads.count() {
        1 => Ok(()),
        threads => Err(UserError::Kept(format!("{threads} threads already"))),
    }
}

/// By the open folder: a name could be made to mean something else meanwhile.
fn hand_over(path: &Path, person: &Person) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let folder: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !geteuid().is_root() || folder.metadata()?.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it is no longer the folder that was made"));
    }
    fchown(&folder, Some(person.uid.as_raw()), Some(person.gid.as_raw()))
}

/// The first file in a folder, itself included, that is somebody else's. Follows no link but the folder itself.
fn stranger(path: &Path, uid: Uid) -> io::Result<Option<(PathBuf, u32)>> {
    let owner = fs::metadata(path)?.uid();
    if owner != uid.as_raw() {
        return Ok(Some((path.to_owned(), owner)));
    }
    let mut folders = vec![path.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            if meta.uid() != uid.as_raw() {
                return Ok(Some((entry.path(), meta.uid())));
            }
            seen += 1;
            if seen >= FILES_MAX {
                return Ok(None);
            }
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_user_is_a_name_or_a_number_with_or_without_a_group() {
        let read = |text: &str| text.parse::<Identity>().map(|it| (it.user, it.group));
        assert_eq!(read("callbox").unwrap(), ("callbox".to_owned(), None));
        assert_eq!(
            read("1000:sip").unwrap(),
            ("1000".to_owned(), Some("sip".to_owned()))
        );
        for wrong in ["", ":", "a:", ":a", "a:b:c"] {
            assert!(matches!(read(wrong), Err(UserError::Unreadable(_))), "{wrong}");
        }
    }

    #[test]
    fn nobody_becomes_root_or_one_who_is_not_there() {
        let look_up = |text: &str| {
            text.parse::<Identity>()
                .unwrap()
                .look_up()
                .map(|it| (it.uid, it.gid))
        };
        assert!(matches!(look_up("0"), Err(UserError::Root(_))));
        assert!(matches!(look_up("12345678:0"), Err(UserError::Root(_))));
        assert!(matches!(look_up("12345678"), Err(UserError::Groupless(_))));
        assert!(matches!(look_up("no-such-user-here"), Err(UserError::NoUser(_))));
        assert!(matches!(
            look_up("12345678:no-such-group-here"),
            Err(UserError::NoGroup(_))
        ));
        let (uid, gid) = look_up("12345678:12345679").unwrap();
        assert_eq!((uid.as_raw(), gid.as_raw()), (12_345_678, 12_345_679));
    }

    #[test]
    fn what_is_somebody_else_s_in_a_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/file"), "").unwrap();
        assert_eq!(stranger(folder.path(), geteuid()).unwrap(), None);
        let other = Uid::from_raw(geteuid().as_raw() + 1);
        let (found, owner) = stranger(folder.path(), other).unwrap().unwrap();
        assert_eq!((found.as_path(), owner), (folder.path(), geteuid().as_raw()));
    }

    #[test]
    fn a_process_with_threads_drops_nothing() {
        // The test's own thread is not the only one.
        assert!(matches!(one_thread(), Err(UserError::Kept(_))));
    }
}
