//! The admin key of an instance.

use anyhow::{Context, bail};

use crate::data_dir::{Credentials, Layout, write_private};

/// Account and region where nothing else is said; fixed, because scripts depend on them.
const DEFAULT_ACCOUNT: &str = "111122223333";
const DEFAULT_REGION: &str = "us-east-1";

/// The admin key: from the environment, else from the last start, else made now.
pub(super) fn credentials(layout: &Layout) -> anyhow::Result<Credentials> {
    let path = layout.credentials();
    let stored = Credentials::load(&path)?;
    let from_environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let account = from_environment("TRELLIS_ACCOUNT_ID");
    let credentials = match (
        from_environment("TRELLIS_ADMIN_ACCESS_KEY_ID"),
        from_environment("TRELLIS_ADMIN_SECRET_ACCESS_KEY"),
        stored.clone(),
    ) {
        (Some(access_key_id), Some(secret_access_key), stored) => Credentials {
            access_key_id,
            secret_access_key,
            account: account
                .or(stored.map(|stored| stored.account))
                .unwrap_or_else(|| DEFAULT_ACCOUNT.into()),
            region: DEFAULT_REGION.into(),
        },
        (None, None, Some(stored)) => match account {
            Some(account) => Credentials { account, ..stored },
            None => stored,
        },
        (None, None, None) => Credentials {
            access_key_id: format!("AKIA{}", random_text(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?),
            secret_access_key: random_text(
                40,
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            )?,
            account: account.unwrap_or_else(|| DEFAULT_ACCOUNT.into()),
            region: DEFAULT_REGION.into(),
        },
        _ => bail!(
            "TRELLIS_ADMIN_ACCESS_KEY_ID and TRELLIS_ADMIN_SECRET_ACCESS_KEY belong together: set both or neither"
        ),
    };
    if stored.as_ref() != Some(&credentials) {
        write_private(&path, &credentials.to_file())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(credentials)
}

/// `length` random characters of an alphabet of 32 or 64, so that every one is equally likely.
fn random_text(length: usize, alphabet: &[u8]) -> anyhow::Result<String> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect())
}
