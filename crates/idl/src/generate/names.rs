//! What the things of a description are called in Rust.

/// Words that cannot be names.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Names that generated code uses as the standard library means them.
const TAKEN: &[&str] =
    &["Option", "String", "Vec", "Box", "Result", "Some", "None", "Ok", "Err", "Self", "Default"];

/// What operations begin with; the rest is the thing they are about.
const VERBS: &[&str] = &[
    "Accept",
    "Add",
    "Allocate",
    "Assign",
    "Associate",
    "Assume",
    "Attach",
    "Authorize",
    "Batch",
    "Cancel",
    "Change",
    "Create",
    "Decode",
    "Delete",
    "Deregister",
    "Describe",
    "Detach",
    "Disable",
    "Disassociate",
    "Enable",
    "Export",
    "Generate",
    "Get",
    "Import",
    "Issue",
    "List",
    "Modify",
    "Move",
    "Promote",
    "Put",
    "Register",
    "Reject",
    "Release",
    "Remove",
    "Renew",
    "Replace",
    "Request",
    "Reset",
    "Restore",
    "Revoke",
    "Run",
    "Send",
    "Set",
    "Simulate",
    "Start",
    "Stop",
    "Tag",
    "Terminate",
    "Test",
    "Unassign",
    "Untag",
    "Update",
    "Upload",
];

/// `CreateService.in` -> `CreateServiceInput`, `tag` -> `Tag`.
pub(super) fn type_name(shape: &str) -> String {
    if let Some(operation) = shape.strip_suffix(".in") {
        return format!("{}Input", type_name(operation));
    }
    if let Some(operation) = shape.strip_suffix(".out") {
        return format!("{}Output", type_name(operation));
    }
    let name = capitalised(shape);
    if TAKEN.contains(&name.as_str()) { format!("{name}Shape") } else { name }
}

/// `vpcId`, `VpcId` and `VPCId` -> `vpc_id`.
pub(super) fn field_name(member: &str) -> String {
    let name = snake(member);
    match name.as_str() {
        "self" | "super" | "crate" | "" => format!("{name}_"),
        keyword if KEYWORDS.contains(&keyword) => format!("r#{name}"),
        digit if digit.starts_with(|c: char| c.is_ascii_digit()) => format!("_{name}"),
        _ => name,
    }
}

/// `AWS_IAM` -> `AwsIam`, `opt-in-not-required` -> `OptInNotRequired`.
pub(super) fn variant_name(value: &str) -> String {
    let name: String = value
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let shouted = !word.bytes().any(|byte| byte.is_ascii_lowercase());
            capitalised(&if shouted { word.to_ascii_lowercase() } else { word.to_owned() })
        })
        .collect();
    match name.chars().next() {
        None => "Empty".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("V{name}"),
        Some(_) if name == "Self" => "Self_".to_owned(),
        Some(_) => name,
    }
}

/// The thing an operation is about, as a file is called: `ListServiceNetworks` -> `service_network`.
pub(super) fn group_of(operation: &str) -> String {
    let words = snake(operation);
    let verb = VERBS.iter().find(|verb| {
        operation.strip_prefix(**verb).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    let thing = verb.map_or(words.as_str(), |verb| &words[verb.len() + 1..]);
    let thing = match thing {
        thing if thing.ends_with("ies") => format!("{}y", thing.trim_end_matches("ies")),
        thing if thing.ends_with("sses") => thing.trim_end_matches("es").to_owned(),
        thing if thing.ends_with('s') && !thing.ends_with("ss") => thing.trim_end_matches('s').to_owned(),
        thing => thing.to_owned(),
    };
    format!("op_{thing}")
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars().filter(char::is_ascii_alphanumeric);
    characters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + &characters.collect::<String>()
    })
}

fn snake(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut name = String::new();
    for (index, &c) in characters.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            name.push('_');
            continue;
        }
        let before = index.checked_sub(1).map(|index| characters[index]);
        let after = characters.get(index + 1);
        // A word begins at a capital after a small letter, and at the last capital of several.
        let begins = c.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase)
            });
        if begins && !name.ends_with('_') {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_rust_has_them() {
        for (member, field) in [
            ("vpcIdentifier", "vpc_identifier"),
            ("VpcId", "vpc_id"),
            ("VPCId", "vpc_id"),
            ("type", "r#type"),
            ("Ipv6CidrBlockAssociationSet", "ipv6_cidr_block_association_set"),
            ("ARN", "arn"),
            ("self", "self_"),
            ("S3BucketName", "s3_bucket_name"),
        ] {
            assert_eq!(field_name(member), field);
        }
        for (value, variant) in [
            ("AWS_IAM", "AwsIam"),
            ("opt-in-not-required", "OptInNotRequired"),
            ("enableDnsSupport", "EnableDnsSupport"),
            ("x86_64", "X8664"),
            ("2.0", "V20"),
            ("*", "Empty"),
            ("Self", "Self_"),
        ] {
            assert_eq!(variant_name(value), variant);
        }
        assert_eq!(type_name("CreateService.in"), "CreateServiceInput");
        assert_eq!(group_of("ListServiceNetworks"), "op_service_network");
        assert_eq!(group_of("DeleteAuthPolicy"), "op_auth_policy");
        assert_eq!(group_of("ListAccountAliases"), "op_account_aliase");
    }
}
