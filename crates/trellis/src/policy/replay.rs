//! `trellis policy replay`: what a changed policy would make of the requests in access logs.
//!
//! Layers that are not given stay as they were: they allowed what was allowed. A request that hangs on what the log
//! does not tell is listed as such.

mod line;
mod tally;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use trellis_policy::{Caller, Layer, Partial, Policy, PolicyKind, decide_in_part};

use self::line::{Line, Recorded, Request};
use self::tally::{Fate, Tally};
use super::{caller, read};

/// The longest line taken, several times what the longest fields make.
const MAX_LINE: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(after_help = "Before `aws vpc-lattice put-auth-policy`, whom it would shut out:\n  \
    trellis policy replay --service svc-0123456789abcdef0 --service-policy new.json .trellis/access-logs/access.log*\n  \
    zcat logs/*.json.gz | trellis policy replay --service svc-0123456789abcdef0 --service-policy new.json -\n\n\
    A layer without a policy here is taken to stay as it was. Whether a request that was denied would be allowed needs\n\
    every layer's policy; `none` in place of a file says that a layer is off (authType NONE).")]
pub(super) struct Replay {
    /// Id or ARN of the service network whose policy is given
    #[arg(long, value_name = "NETWORK", requires = "network_policy")]
    network: Option<String>,
    /// Auth policy of the service network
    #[arg(long, value_name = "FILE", requires = "network")]
    network_policy: Option<PathBuf>,
    /// Id or ARN of the service whose policy is given
    #[arg(long, value_name = "SERVICE", requires = "service_policy")]
    service: Option<String>,
    /// Auth policy of the service
    #[arg(long, value_name = "FILE", requires = "service")]
    service_policy: Option<PathBuf>,
    /// ARN of the user or role whose own policies are given
    #[arg(long, value_name = "ARN", requires = "identity_policies")]
    identity: Option<String>,
    /// Policy of the user or role; repeatable, all it has
    #[arg(long = "identity-policy", value_name = "FILE", requires = "identity")]
    identity_policies: Vec<PathBuf>,
    /// A file of the principals there are, one ARN a line: it tells the paths of roles, which logs do not
    #[arg(long, value_name = "FILE")]
    principals: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Access logs, rotated ones too; - is standard input
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
}

/// The policies that are given.
struct Changed {
    network: Option<Given>,
    service: Option<Given>,
    identity: Option<Given>,
    /// ARNs of roles by account and name.
    roles: HashMap<(String, String), String>,
}

struct Given {
    /// An id or ARN.
    of: String,
    /// `None`: the layer is off.
    policies: Option<Vec<Arc<Policy>>>,
}

impl Given {
    fn is_of(&self, arn: &str) -> bool {
        self.of == arn || arn.rsplit('/').next() == Some(&self.of)
    }

    /// A user by its ARN, a role by that of a session.
    fn is_callers(&self, caller: &Caller) -> bool {
        caller.arn().is_some_and(|arn| {
            self.of == arn
                || (caller.role_arn().is_some() && caller::role_of(arn) == caller::role_of(&self.of))
        })
    }
}

pub(super) fn run(args: &Replay, text: &mut String) -> anyhow::Result<ExitCode> {
    let changed = Changed::from_args(args)?;
    let mut tally = Tally::default();
    for path in &args.logs {
        let opened: Box<dyn BufRead> = match path.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => Box::new(BufReader::new(
                File::open(path).with_context(|| format!("cannot read {}", path.display()))?,
            )),
        };
        replay(opened, &changed, &mut tally).with_context(|| format!("cannot read {}", path.display()))?;
    }
    if args.json {
        *text += &format!("{:#}\n", tally.json());
    } else {
        *text += &tally.text();
    }
    Ok(if tally.is_quiet() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn replay(mut log: Box<dyn BufRead>, changed: &Changed, tally: &mut Tally) -> anyhow::Result<()> {
    if log.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        bail!("it is compressed: give it to zcat, and - here");
    }
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut log, &mut line)? {
        if whole && line.is_empty() {
            continue;
        }
        tally.lines += 1;
        let parsed = if whole { Line::parse(&line, &|arn| changed.role(arn)) } else { Line::Malformed };
        match parsed {
            Line::Malformed => tally.malformed += 1,
            Line::NoRequest => tally.others += 1,
            Line::Request(request) => match changed.fate(&request) {
                None => tally.others += 1,
                Some(fate) => tally.count(&request, fate),
            },
        }
    }
    Ok(())
}

/// Reads a line without its end; false where it was longer than any should be, and is not kept.
fn next_line(log: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut whole, mut any) = (true, false);
    loop {
        let found = match log.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            found => found?,
        };
        if found.is_empty() {
            return Ok(any.then_some(whole));
        }
        any = true;
        let end = found.iter().position(|byte| *byte == b'\n');
        let part = &found[..end.unwrap_or(found.len())];
        whole = whole && line.len() + part.len() <= MAX_LINE;
        if whole {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        log.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

impl Changed {
    fn from_args(args: &Replay) -> anyhow::Result<Self> {
        let layer = |of: &Option<String>, file: &Option<PathBuf>| -> anyhow::Result<Option<Given>> {
            let (Some(of), Some(file)) = (of, file) else { return Ok(None) };
            let policies = match file.as_os_str() == "none" {
                true => None,
                false => Some(vec![parse(file, PolicyKind::Resource)?]),
            };
            Ok(Some(Given { of: of.clone(), policies }))
        };
        let network = layer(&args.network, &args.network_policy)?;
        let service = layer(&args.service, &args.service_policy)?;
        let identity = match &args.identity {
            None => None,
            Some(of) => {
                let policies = args.identity_policies.iter().map(|file| parse(file, PolicyKind::Identity));
                Some(Given { of: of.clone(), policies: Some(policies.collect::<anyhow::Result<_>>()?) })
            }
        };
        if network.is_none() && service.is_none() && identity.is_none() {
            bail!("there is no policy to replay: give --service with --service-policy, or another layer's");
        }
        let listed = match &args.principals {
            None => String::new(),
            Some(path) => {
                fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
        };
        let given = listed.lines().map(str::trim).chain(args.identity.as_deref());
        let roles = given.filter(|arn| arn.contains(":role/")).filter_map(|arn| {
            let (account, name) = caller::role_of(arn)?;
            Some(((account.to_owned(), name.to_owned()), arn.to_owned()))
        });
        let roles = roles.collect();
        Ok(Self { network, service, identity, roles })
    }

    /// The ARN of the role that a session is of.
    fn role(&self, session: &str) -> Option<String> {
        let (account, name) = caller::role_of(session)?;
        self.roles.get(&(account.to_owned(), name.to_owned())).cloned()
    }

    /// What becomes of the request; `None` where no policy here is about it.
    fn fate(&self, request: &Request) -> Option<Fate> {
        let network = self.network.as_ref().filter(|given| given.is_of(&request.network));
        let service = self.service.as_ref().filter(|given| given.is_of(&request.service));
        let identity = self.identity.as_ref().filter(|given| given.is_callers(&request.caller));
        let layers = [(Layer::Network, network), (Layer::Service, service), (Layer::Identity, identity)];
        let given = |wanted| layers.iter().any(|(layer, given)| *layer == wanted && given.is_some());
        if layers.iter().all(|(_, given)| given.is_none()) {
            return None;
        }
        if request.recorded == Recorded::Unproven {
            return Some(Fate::Same);
        }
        let is_off = |given: Option<&Given>| given.is_some_and(|given| given.policies.is_none());
        // Nobody is asked who is calling.
        let unguarded = is_off(network) && is_off(service);
        let (mut denied, mut missing) = (None, Vec::new());
        for (layer, given) in layers {
            let Some(policies) = given.and_then(|given| given.policies.as_ref()).filter(|_| !unguarded)
            else {
                continue;
            };
            if request.is_cut {
                missing.push("the whole path".to_owned());
                continue;
            }
            request.each_access(|access| {
                match decide_in_part(policies, access, &|key| request.untold(key)) {
                    Partial::Allows => {}
                    Partial::Denies => denied = denied.or(Some(layer)),
                    Partial::Untold(keys) => missing.extend(keys),
                }
            });
        }
        if let Recorded::Denied(layer) = request.recorded {
            if denied.is_some() || (!given(layer) && !unguarded) {
                return Some(Fate::Same);
            }
            let signed = request.caller.arn().is_some();
            // What hid behind the denial is not in the log.
            let hidden = [
                (!given(Layer::Network), "the policy of the network (--network-policy)"),
                (!given(Layer::Service), "the policy of the service (--service-policy)"),
                (signed && !given(Layer::Identity), "the policies of the caller (--identity-policy)"),
                (
                    signed && given(Layer::Identity),
                    "permissions boundary, session and service control policies",
                ),
            ];
            let hidden = hidden.into_iter().filter(|(hides, _)| *hides && !unguarded);
            missing.extend(hidden.map(|(_, what)| what.to_owned()));
        }
        missing.sort_unstable();
        missing.dedup();
        Some(match (request.recorded, denied) {
            (Recorded::Allowed, Some(layer)) => Fate::Denied(layer),
            _ if !missing.is_empty() => Fate::Untold(missing),
            (Recorded::Allowed, None) => Fate::Same,
            _ => Fate::Allowed,
        })
    }
}

fn parse(path: &Path, kind: PolicyKind) -> anyhow::Result<Arc<Policy>> {
    Ok(Arc::new(Policy::parse(&read(path)?, kind).with_context(|| path.display().to_string())?))
}

#[cfg(test)]
mod tests;
