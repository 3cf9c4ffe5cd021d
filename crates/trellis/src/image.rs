//! `trellis image`: container images for nodes, in the data directory. No instance has to run.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use trellis_cluster::image::{Images, Named, Program};

use crate::cli::DataDir;
use crate::data_dir::Layout;

#[derive(Debug, Args)]
#[command(
    after_help = "Nodes pull what is here from their own loopback, under whatever registry it names:\n  \
    docker save registry.example/app:1 -o app.tar && trellis image import app.tar\n  \
    trellis image build --name demo/echo:1 ~/.cache/trellis/kubernetes/current/images/echo\n  \
    kubectl create deployment echo --image demo/echo:1"
)]
pub(crate) struct Image {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    #[command(subcommand)]
    pub(crate) command: ImageCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Take in the images of an OCI archive, as docker save, podman save and ctr export write them
    Import {
        archive: PathBuf,
        /// What the image is called, for an archive of one that says nothing or something else
        #[arg(long)]
        name: Option<String>,
    },
    /// Make an image of one program, with the libraries it is linked with
    Build {
        /// What the image is called
        #[arg(long)]
        name: String,
        /// A variable of its environment; may be given again
        #[arg(long = "env", value_name = "NAME=VALUE")]
        environment: Vec<String>,
        /// Another program that goes with it, such as one it calls; may be given again
        #[arg(long = "with", value_name = "PROGRAM")]
        companions: Vec<PathBuf>,
        program: PathBuf,
        /// Arguments of the program
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// List images by name
    List,
}

pub(crate) fn image(args: Image) -> anyhow::Result<ExitCode> {
    let images = Images::at(Layout::at(&args.data_dir.data_dir)?.images());
    let named = match args.command {
        ImageCommand::Import { archive, name } => images.import(&archive, name.as_deref())?,
        ImageCommand::Build { name, environment, companions, program, arguments } => {
            vec![images.build(&name, &Program { path: program, companions, arguments, environment })?]
        }
        ImageCommand::List => images.list()?,
    };
    let mut stdout = std::io::stdout();
    for Named { name, digest } in named {
        writeln!(stdout, "{name} {digest}")?;
    }
    Ok(ExitCode::SUCCESS)
}
