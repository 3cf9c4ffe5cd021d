//! What a caller must be allowed to do before an operation runs. The model is AWS's service
//! authorization reference: an action of the service, on resources of the types it names.

/// A kind of resource that policies may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    pub name: String,
    /// `arn:{partition}:vpc-lattice:{region}:{account}:service/{service}`. What stands in braces and is
    /// none of these three is filled by members of the input, in order.
    pub arn: String,
}

impl ResourceType {
    /// The names in braces that members of the input fill, in order.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        let names = self.arn.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
        names.filter(|name| !["partition", "region", "account"].contains(name))
    }
}

/// One action a caller must be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorisation {
    /// With its prefix: `vpc-lattice:CreateService`.
    pub action: String,
    /// Empty where the action is on no resource of its own: `*`.
    pub on: Vec<ActedOn>,
    /// Only where the input has this member: tags that a creation brings.
    pub when: Option<String>,
}

/// A resource that is acted on, and the members of the input that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActedOn {
    /// A [`ResourceType::name`].
    pub resource: String,
    /// Paths into the input, `Targets.Id`, in the order of the holes of [`ResourceType::arn`]. Fewer
    /// than holes where the operation makes what the last one names.
    pub members: Vec<String>,
}
