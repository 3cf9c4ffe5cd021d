//! Keys in the files that AWS clients share.

use std::path::{Path, PathBuf};

use trellis_auth::Credentials;

use super::{Environment, read};
use crate::failure::Failure;

/// The keys of the chosen profile; `None` when there is no such file or profile, or it has no keys.
pub(super) fn look(environment: &Environment) -> Result<Option<Credentials>, Failure> {
    let profile = environment.get("AWS_PROFILE").unwrap_or_else(|| "default".into());
    let home = environment.get("HOME").map(PathBuf::from);
    for (variable, name, is_config) in
        [("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", false), ("AWS_CONFIG_FILE", ".aws/config", true)]
    {
        let path = environment.get(variable).map(PathBuf::from);
        let Some(path) = path.or_else(|| home.as_ref().map(|home| home.join(name))) else { continue };
        if let Some(found) = look_in(&path, &profile, is_config)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn look_in(path: &Path, profile: &str, is_config: bool) -> Result<Option<Credentials>, Failure> {
    // A file that cannot be read is as good as none: the next place may have keys.
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let section = match is_config && profile != "default" {
        true => format!("profile {profile}"),
        false => profile.to_owned(),
    };
    let mut is_inside = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            is_inside = name.split_whitespace().eq(section.split_whitespace());
        } else if is_inside && let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    let (Some(id), Some(secret)) = (id, secret) else { return Ok(None) };
    read(&path.display().to_string(), &id, secret, token).map(Some)
}
