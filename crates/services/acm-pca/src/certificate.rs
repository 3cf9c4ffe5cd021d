//! Certificates that were issued.

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Records, Refusal, certificate};
use trellis_model::moment::Moment;
use trellis_store::Reader;

use crate::authority::Authority;
use crate::authority::describe::without_last_line_end;
use crate::policy::{self, Want};
use crate::{refuse, wire};

/// By authority and serial number.
pub(crate) const CERTIFICATES: Records<Issued> = Records::new("acm-pca", "certificate");

/// One certificate as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Issued {
    /// PEM.
    pub(crate) certificate: String,
    pub(crate) issued_at: Moment,
    pub(crate) not_after: Moment,
    /// Signed by its own key: it has no chain.
    pub(crate) is_root: bool,
    /// [`serial_text`].
    pub(crate) serial: String,
    /// The rest is for audit reports; what was issued before there were any says nothing.
    #[serde(default)]
    pub(crate) subject: String,
    #[serde(default)]
    pub(crate) not_before: Option<Moment>,
    /// Its ARN.
    #[serde(default)]
    pub(crate) template: Option<String>,
    /// The service that asked for its user.
    #[serde(default)]
    pub(crate) requested_by: Option<String>,
}

impl Issued {
    pub(crate) fn with_chain(self, authority: &Authority) -> certificate::Issued {
        let installed = authority.installed.as_ref().filter(|_| !self.is_root);
        let chain = installed.map(|installed| {
            let above = installed.chain.as_deref().unwrap_or_default();
            format!("{}\n{above}", installed.certificate.trim_end())
        });
        certificate::Issued {
            certificate: without_last_line_end(&self.certificate),
            chain: chain.as_deref().map(without_last_line_end),
        }
    }
}

/// A serial number as ids have it: 32 hexadecimal digits.
pub(crate) fn serial_text(serial: &[u8]) -> String {
    serial.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetCertificateInput,
) -> Result<wire::GetCertificateOutput, Refusal> {
    let want = Want::of(&ctx.caller, "GetCertificate");
    let authority = policy::reach_live(state, &ctx.home(), &input.certificate_authority_arn, want)?;
    let arn = &input.certificate_arn;
    let serial = arn.strip_prefix(&format!("{}/certificate/", authority.arn())).filter(|serial| {
        serial.len() == 32 && serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    let Some(serial) = serial else {
        let message = format_args!("{arn} is not the ARN of a certificate of {}", authority.arn());
        return Err(refuse("InvalidArnException", message));
    };
    let id = format!("{}/{serial}", authority.id);
    let Some(issued) = CERTIFICATES.get(state, &authority.home, id)? else {
        return Err(refuse("ResourceNotFoundException", format_args!("Could not find certificate {arn}.")));
    };
    let certificate::Issued { certificate, chain } = issued.with_chain(&authority);
    Ok(wire::GetCertificateOutput { certificate: Some(certificate), certificate_chain: chain })
}
