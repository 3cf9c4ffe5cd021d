//! `trellis account` and `trellis key`.

use clap::{Args, Subcommand};
use trellis_model::AccountId;

use super::DataDir;

#[derive(Debug, Args)]
#[command(after_help = "A second account, and a shell that works in it:\n  \
    trellis account create --name team-b\n  \
    trellis key create --account team-b\n  \
    eval \"$(trellis env --account team-b)\"")]
pub(crate) struct Account {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    #[command(subcommand)]
    pub(crate) command: AccountCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account and print its id
    Create {
        /// Twelve digits; drawn at random when absent
        id: Option<AccountId>,
        /// A name to use in place of the id on this command line
        #[arg(long)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete an account that has no resources any more, and its keys
    Delete {
        /// Id or name
        account: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key with every right in an account, and print it with its secret
    Create {
        /// Id or name of the account
        #[arg(long)]
        account: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys, without their secrets
    List {
        /// Only those of this account, by id or name
        #[arg(long)]
        account: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a key: what is signed with it is refused from now on
    Delete {
        #[arg(value_name = "ACCESS_KEY_ID")]
        access_key_id: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn the_data_directory_may_stand_before_or_after_what_is_done_with_accounts() {
        for line in [
            "trellis account --data-dir d create 222233334444 --name b --json",
            "trellis account create --data-dir d",
            "trellis key --data-dir d create --account b",
            "trellis key list --data-dir d --json",
            "trellis key delete AKIA0 --data-dir d",
            "trellis env --account b --data-dir d",
        ] {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_ok(), "{line}");
        }
        for line in ["trellis account create 12", "trellis key create", "trellis account delete"] {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
