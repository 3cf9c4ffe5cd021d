//! Secondary private addresses of a network interface: those of a node's pods, say.
//!
//! They are of the interface's subnet, and nobody else's while it has them. What an interface has, the host may send
//! from, and what its security groups say holds for each. An unprivileged host finds them on its interface; a privileged
//! one does with them what it likes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::{Context, Refusal, Surroundings, settling};
use trellis_model::InstanceId;
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, Subnet, Tenants};
use trellis_store::{Read, Transaction};

use super::host::{HostError, settle};
use super::input::Request;
use super::{fault, instance, place};

/// Secondary addresses of one interface: more than the pods a node has.
pub(super) const MAX_SECONDARY: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AssignInput {
    network_interface_id: String,
    #[serde(default)]
    private_ip_addresses: Vec<String>,
    secondary_private_ip_address_count: Option<i64>,
    #[serde(default)]
    allow_reassignment: bool,
}

/// What is asked for.
enum Wanted {
    These(BTreeSet<Ipv4Addr>),
    Free(usize),
}

/// Why an interface is not given what is asked for.
enum Shortage {
    /// The interface would have too many.
    Limit,
    /// The subnet has not so many.
    Full,
    Outside(Ipv4Addr),
    InUse(Ipv4Addr),
    Failed(Refusal),
}

impl From<Refusal> for Shortage {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal)
    }
}

impl From<Shortage> for Refusal {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Limit => {
                let message = "Number of private addresses will exceed limit.";
                fault::refuse("PrivateIpAddressLimitExceeded", message)
            }
            Shortage::Full => fault::refuse(
                "InsufficientFreeAddressesInSubnet",
                "The specified subnet does not contain enough free private IP addresses to fulfill your request.",
            ),
            Shortage::Outside(address) => fault::invalid_value(format_args!(
                "Address {address} does not fall within the subnet's address range"
            )),
            Shortage::InUse(address) => {
                fault::refuse("InvalidIPAddress.InUse", format_args!("Address {address} is in use."))
            }
            Shortage::Failed(refusal) => refusal,
        }
    }
}

pub(super) async fn assign(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input: AssignInput = Request::read(input)?.into_parts().0;
    let wanted = match (input.private_ip_addresses.as_slice(), input.secondary_private_ip_address_count) {
        ([], None) => {
            let message = "The request must contain the parameter secondaryPrivateIpAddressCount";
            return Err(fault::missing(message));
        }
        ([], Some(count)) => match usize::try_from(count) {
            Ok(0) | Err(_) => {
                let message = format!("Invalid value '{count}' for secondaryPrivateIpAddressCount");
                return Err(fault::invalid_value(message));
            }
            Ok(count) => Wanted::Free(count),
        },
        (addresses, None) => Wanted::These(parse(addresses)?),
        (_, Some(_)) => {
            let message = "privateIpAddress excludes secondaryPrivateIpAddressCount";
            return Err(fault::combination(message));
        }
    };
    let (home, id, reassigns) = (ctx.home(), input.network_interface_id, input.allow_reassignment);
    let shown = id.clone();
    let given = ctx
        .transact(move |tx| {
            let instance = owner(tx, &home, &id)?;
            Ok(give(tx, instance, &wanted, reassigns)?)
        })
        .await?;
    in_force(ctx).await?;
    let given: Vec<Value> = given.iter().map(|address| json!({"PrivateIpAddress": address})).collect();
    Ok(json!({"NetworkInterfaceId": shown, "AssignedPrivateIpAddresses": given}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UnassignInput {
    network_interface_id: String,
    #[serde(default)]
    private_ip_addresses: Vec<String>,
}

pub(super) async fn unassign(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input: UnassignInput = Request::read(input)?.into_parts().0;
    if input.private_ip_addresses.is_empty() {
        return Err(fault::missing("The request must contain the parameter privateIpAddress"));
    }
    let addresses = parse(&input.private_ip_addresses)?;
    let home = ctx.home();
    ctx.transact(move |tx| {
        let mut instance = owner(tx, &home, &input.network_interface_id)?;
        if let Some(address) =
            addresses.iter().find(|address| !instance.secondary_addresses.contains(address))
        {
            let message = format!("{address} is no secondary address of {}", instance.interface_id());
            return Err(fault::invalid_value(message));
        }
        instance.secondary_addresses.retain(|address| !addresses.contains(address));
        write(tx, &instance);
        Ok(())
    })
    .await?;
    in_force(ctx).await?;
    Ok(json!({}))
}

/// As `assign` with a number, for the binary.
pub(crate) async fn assign_to_host(
    surroundings: &Surroundings,
    id: &InstanceId,
    count: usize,
) -> Result<Vec<Ipv4Addr>, HostError> {
    let id = id.clone();
    let work = move |tx: &mut Transaction<'_>| {
        let instance = named(tx, &id)?;
        let subnet = instance.subnet.clone();
        give(tx, instance, &Wanted::Free(count), false).map_err(|shortage| match shortage {
            Shortage::Limit => HostError::TooManyAddresses { instance: id.clone(), most: MAX_SECONDARY },
            Shortage::Full => HostError::SubnetHasNotSoMany { subnet, count },
            other => Refusal::from(other).into(),
        })
    };
    settle(surroundings.store.transact(work).await)
}

/// As `unassign`, for the binary.
pub(crate) async fn unassign_from_host(
    surroundings: &Surroundings,
    id: &InstanceId,
    addresses: &[Ipv4Addr],
) -> Result<(), HostError> {
    let (id, addresses) = (id.clone(), addresses.to_vec());
    let work = move |tx: &mut Transaction<'_>| {
        let mut instance = named(tx, &id)?;
        instance.secondary_addresses.retain(|address| !addresses.contains(address));
        write(tx, &instance);
        Ok::<_, HostError>(())
    };
    settle(surroundings.store.transact(work).await)
}

fn parse(addresses: &[String]) -> Result<BTreeSet<Ipv4Addr>, Refusal> {
    let parse = |text: &String| {
        let refused = || fault::invalid_value(format_args!("Invalid IP address '{}'", fault::quoted(text)));
        text.parse().map_err(|_| refused())
    };
    addresses.iter().map(parse).collect()
}

/// The instance whose interface `id` is; not one that is on its way out.
fn owner(state: &mut impl Read, home: &Home, id: &str) -> Result<Instance, Refusal> {
    let found = instance::with_interface(state, home, id)?;
    found.filter(|instance| instance.state.is_wanted()).ok_or_else(|| instance::no_interface(id))
}

fn named(state: &mut impl Read, id: &InstanceId) -> Result<Instance, HostError> {
    let found: Option<Instance> = place::find_anywhere(state, id.as_str())?;
    let found = found.filter(|instance| instance.state.is_wanted());
    found.ok_or_else(|| HostError::NoHost { name: id.to_string() })
}

/// Gives and writes; what was given, ascending.
fn give(
    tx: &mut Transaction<'_>,
    mut instance: Instance,
    wanted: &Wanted,
    reassigns: bool,
) -> Result<Vec<Ipv4Addr>, Shortage> {
    let subnet: Subnet = place::find(tx, &instance.home, instance.subnet.as_str())?;
    let tenants = place::tenants(tx, &instance.home)?;
    let given: Vec<Ipv4Addr> = match wanted {
        Wanted::Free(count) => {
            if instance.secondary_addresses.len().saturating_add(*count) > MAX_SECONDARY {
                return Err(Shortage::Limit);
            }
            let taken = tenants.of(&subnet.id);
            let free = subnet.free(|address| taken.contains_key(&IpAddr::from(address)));
            let free: Vec<_> = free.take(*count).collect();
            if free.len() < *count {
                return Err(Shortage::Full);
            }
            free
        }
        Wanted::These(addresses) => {
            let new = |address: &&Ipv4Addr| !instance.secondary_addresses.contains(*address);
            if instance.secondary_addresses.len() + addresses.iter().filter(new).count() > MAX_SECONDARY {
                return Err(Shortage::Limit);
            }
            let taken = tenants.of(&subnet.id);
            for address in addresses.iter().filter(new) {
                if !subnet.may_assign(*address) {
                    return Err(Shortage::Outside(*address));
                }
                if taken.contains_key(&IpAddr::from(*address)) {
                    if !reassigns {
                        return Err(Shortage::InUse(*address));
                    }
                    take_away(tx, &tenants, &subnet, *address)?;
                }
            }
            addresses.iter().copied().collect()
        }
    };
    instance.secondary_addresses.extend(&given);
    write(tx, &instance);
    Ok(given)
}

/// Whoever has `address` as a secondary one loses it; a host's own stays.
fn take_away(
    tx: &mut Transaction<'_>,
    tenants: &Tenants,
    subnet: &Subnet,
    address: Ipv4Addr,
) -> Result<(), Shortage> {
    let of_subnet = |instance: &&Instance| instance.subnet == subnet.id && instance.state.holds_resources();
    let mut holders = tenants.instances.iter().filter(of_subnet);
    let holder = holders.find(|instance| instance.secondary_addresses.contains(&address));
    let holder = holder.ok_or(Shortage::InUse(address))?;
    // It may have lost another in this transaction.
    let mut holder: Instance = place::find(tx, &holder.home, holder.id.as_str())?;
    holder.secondary_addresses.remove(&address);
    write(tx, &holder);
    Ok(())
}

fn write(tx: &mut Transaction<'_>, instance: &Instance) {
    place::put(tx, instance);
}

/// Waits a little for the kernel to have what was written.
async fn in_force(ctx: &Context) -> Result<(), Refusal> {
    let Some(deadline) = settling::deadline(ctx) else { return Ok(()) };
    let revision = ctx.read()?.revision();
    let mut in_force = ctx.surroundings.in_force.clone();
    // In time or not, the answer is the same.
    let _ =
        tokio::time::timeout_at(deadline, in_force.wait_for(|in_force| in_force.kernel >= revision)).await;
    Ok(())
}
