//! `[tenant.credential.NAME]`: logins that flows use by name and never see.
//!
//! The secret stands in the file, in a file of its own, or in the environment; it is read when the configuration is, so
//! that a missing one is a mistake of the file and not of some later call. Invariant: no secret is ever formatted.

use std::fmt;

use super::reader::{Located, Section, Source};
use super::tenant::check_name;

/// The longest secret; digest authentication hashes it, so no server asks for more.
const SECRET_MAX: usize = 256;

/// A user name and a password under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name that flows and trunks use.
    pub name: String,
    /// `username`
    pub username: String,
    /// `password`, or what `password_file` or `password_env` lead to.
    pub password: Secret,
    /// `realm`: the only one it answers; none answers any.
    pub realm: Option<String>,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one who computes with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

pub(super) fn read(source: &Source<'_>, sections: Vec<(String, Section<'_, '_>)>) -> Vec<Credential> {
    sections
        .into_iter()
        .map(|(name, section)| read_one(source, name, section))
        .collect()
}

fn read_one(source: &Source<'_>, name: String, mut section: Section<'_, '_>) -> Credential {
    check_name(source, section.at(), section.path(), &name);
    let username = section.required_string("username", "write username = \"acme\"");
    let realm = section.string("realm");
    for text in username.iter().chain(&realm) {
        if text.value.is_empty() || text.value.chars().any(char::is_control) {
            source.problem(
                text,
                "is empty or has a control character",
                "write one line of text",
            );
        }
    }
    let given = [
        section.string("password").map(Place::Here),
        section.string("password_file").map(Place::File),
        section.string("password_env").map(Place::Environment),
    ];
    let (at, path) = (section.at(), section.path().to_owned());
    section.finish();
    let mut given = given.into_iter().flatten();
    let password = match (given.next(), given.next()) {
        (Some(place), None) => place.secret(source),
        (None, _) => {
            let text = "has no secret; write password_env = \"VARIABLE\", password_file = \"PATH\" or \
                        password = \"…\""
                .to_owned();
            source.note(at, path, text);
            None
        }
        (Some(_), Some(_)) => {
            let text = "names its secret twice; keep one of password, password_file, password_env".to_owned();
            source.note(at, path, text);
            None
        }
    };
    // Kept even when something is missing: the problem is noted, and a trunk that names it is not a second one.
    Credential {
        name,
        username: username.map(|text| text.value).unwrap_or_default(),
        password: password.unwrap_or_else(|| Secret(String::new())),
        realm: realm.map(|realm| realm.value),
    }
}

/// Where a secret is.
pub(super) enum Place {
    Here(Located<String>),
    File(Located<String>),
    Environment(Located<String>),
}

impl Place {
    /// Where the place itself is written.
    pub(super) fn at(&self) -> (usize, String) {
        let (Self::Here(text) | Self::File(text) | Self::Environment(text)) = self;
        (text.at, text.key.clone())
    }

    /// Reads it from there; what is wrong is noted.
    pub(super) fn secret(self, source: &Source<'_>) -> Option<Secret> {
        let (at, key, text) = match self {
            Self::Here(text) => (text.at, text.key, text.value),
            Self::File(file) => {
                let path = source.path(&file.value);
                match std::fs::read_to_string(&path) {
                    // An editor ends a file with a line end, which is no part of a password.
                    Ok(text) => (file.at, file.key, text.trim_end_matches(['\r', '\n']).to_owned()),
                    Err(error) => {
                        let text = format!(
                            "{} cannot be read: {error}; name a file that this user may read",
                            path.display()
                        );
                        source.note(file.at, file.key, text);
                        return None;
                    }
                }
            }
            Self::Environment(name) => match std::env::var(&name.value) {
                Ok(text) => (name.at, name.key, text),
                Err(_) => {
                    source.problem(
                        &name,
                        "is not in the environment, or not UTF-8",
                        "set it where callbox is started",
                    );
                    return None;
                }
            },
        };
        if text.is_empty() || text.len() > SECRET_MAX || text.chars().any(char::is_control) {
            // What is wrong is said, what it is not.
            let wrong = format!(
                "the secret is empty, longer than {SECRET_MAX} bytes or has a control character; write one line"
            );
            source.note(at, key, wrong);
            return None;
        }
        Some(Secret(text))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::config::{Config, ConfigError};

    /// A tenant whose one credential has these lines, in a folder that has a file `secret`.
    fn parse(lines: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "hunter2\r\n").unwrap();
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\n[[tenant]]\nname = \"acme\"\nflow.f.file = \"f.wasm\"\n\
             [tenant.credential.office]\nusername = \"acme\"\n{lines}\n"
        );
        Config::parse(&folder.path().join("callbox.toml"), &text)
    }

    fn secret(lines: &str) -> String {
        parse(lines).unwrap().tenants[0].credentials[0]
            .password
            .expose()
            .to_owned()
    }

    #[test]
    fn a_secret_comes_from_the_file_another_file_or_the_environment() {
        assert_eq!(secret("password = \"hunter2\""), "hunter2");
        assert_eq!(
            secret("password_file = \"secret\""),
            "hunter2",
            "without its line end"
        );
        assert_eq!(secret("password_env = \"CARGO_PKG_NAME\""), "callbox");
        let realm = parse("password = \"x\"\nrealm = \"house\"").unwrap();
        assert_eq!(realm.tenants[0].credentials[0].realm.as_deref(), Some("house"));
    }

    #[test]
    fn a_secret_that_is_not_there_is_a_mistake_with_its_fix_and_is_never_shown() {
        for (lines, expected) in [
            (
                "",
                "tenant[0].credential.office: has no secret; write password_env",
            ),
            (
                "password = \"a\"\npassword_env = \"PATH\"",
                "names its secret twice; keep one of",
            ),
            ("password_file = \"nowhere\"", "nowhere cannot be read"),
            (
                "password_env = \"CALLBOX_NO_SUCH\"",
                "\"CALLBOX_NO_SUCH\" is not in the environment",
            ),
            (
                "password = \"hunter2\\n\"",
                "the secret is empty, longer than 256 bytes or has a control character",
            ),
            ("password = \"\"", "the secret is empty"),
            (
                "password = \"x\"\nrealm = \"\"",
                "credential.office.realm: \"\" is empty",
            ),
            (
                "password = \"x\"\nuser = \"y\"",
                "is not a key; did you mean username?",
            ),
        ] {
            let error = parse(lines).unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("hunter2"),
                "{lines}: {error}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let credential = Credential {
            name: "office".to_owned(),
            username: "acme".to_owned(),
            password: Secret("hunter2".to_owned()),
            realm: None,
        };
        let shown = format!("{credential:?}");
        assert!(shown.contains("office") && !shown.contains("hunter2"), "{shown}");
    }
}
