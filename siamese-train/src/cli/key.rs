//! `key`: the key that signs updates.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use siamese_train::release::{WARNING, is_development, new_key, public_digits, signing_key};

use super::Output;
use super::output::shown;

/// Make or show the key that signs updates of a model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The secret key signs (`sign`, `device update`). Keep it off the machine that talks to devices, and
keep a copy: without it no device that trusts it takes another update. The public key goes into the
firmware when it is built. Keys are Ed25519, the secret one in PKCS#8 PEM, as OpenSSL reads it.

Examples:
  siamese-train key new --out fleet.pem
  cargo xtask firmware --board pico --updates fleet.pub
  siamese-train key show --key fleet.pem")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Draw a new key: FILE.pem, and the public one beside it in FILE.pub
    New {
        /// Where the secret key goes
        #[arg(long, value_name = "FILE.pem", default_value = "update-key.pem")]
        out: PathBuf,
    },
    /// Show the public key
    Show {
        /// The secret key, or `development`
        #[arg(long, value_name = "FILE.pem")]
        key: PathBuf,
    },
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    match &args.command {
        Command::New { out } => {
            let digits = public_digits(&new_key(out)?);
            let public = out.with_extension("pub");
            let human = format!(
                "the secret key is in {}: keep it, and keep it secret\nthe public key is in {}: \
                 {digits}\nnext: build the firmware with it, by `cargo xtask firmware --updates {}`",
                out.display(),
                public.display(),
                public.display()
            );
            let json = json!({
                "secret": shown(out),
                "public": shown(&public),
                "key": digits,
            });
            output.report(&human, &json)
        }
        Command::Show { key } => {
            let key = signing_key(key)?;
            let development = is_development(&key);
            if development {
                output.note(WARNING);
            }
            let digits = public_digits(&key);
            let json = json!({ "key": digits, "development": development });
            output.report(&digits, &json)
        }
    }
}
