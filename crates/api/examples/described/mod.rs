//! The services that the files given as arguments describe.

use anyhow::{Context, Result};
use trellis_api::Schema;

pub(crate) fn schema() -> Result<Schema> {
    let services = std::env::args().skip(1).map(|path| {
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let service = trellis_idl::parse(&text).with_context(|| path.clone())?;
        Ok(&*Box::leak(Box::new(service)))
    });
    Ok(Schema::new(services.collect::<Result<_>>()?))
}
