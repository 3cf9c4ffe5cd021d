use crate::installation::{ACCOUNT, Installation, KEY_ID};

#[tokio::test]
async fn a_region_has_three_zones_with_ids_as_aws_makes_them() {
    let installation = Installation::new().await;
    let zones = installation.ok("DescribeAvailabilityZones", &[]).await;
    let list = "availabilityZoneInfo";
    assert_eq!(zones.texts(list, "zoneName"), ["us-east-1a", "us-east-1b", "us-east-1c"]);
    assert_eq!(zones.texts(list, "zoneId"), ["use1-az1", "use1-az2", "use1-az3"]);
    assert_eq!(zones.texts(list, "zoneState"), ["available"; 3]);
    let far = installation.ec2_in("ap-northeast-2", "DescribeAvailabilityZones", &[]).await.unwrap();
    assert_eq!(far.texts(list, "zoneId"), ["apne2-az1", "apne2-az2", "apne2-az3"]);

    for (parameters, expected) in [
        (vec![("ZoneName.1", "us-east-1b")], vec!["us-east-1b"]),
        (vec![("ZoneId.1", "use1-az3")], vec!["us-east-1c"]),
        (vec![("Filter.1.Name", "zone-id"), ("Filter.1.Value.1", "*az1")], vec!["us-east-1a"]),
        (vec![("Filter.1.Name", "opt-in-status"), ("Filter.1.Value.1", "opted-in")], vec![]),
        (vec![("AllAvailabilityZones", "true"), ("ZoneId.1", "use1-az1")], vec!["us-east-1a"]),
    ] {
        let found = installation.ok("DescribeAvailabilityZones", &parameters).await;
        assert_eq!(found.texts(list, "zoneName"), expected, "{parameters:?}");
    }
    let wrong = [("ZoneName.1", "eu-west-1a")];
    assert_eq!(installation.refusal("DescribeAvailabilityZones", &wrong).await, "InvalidParameterValue");
}

#[tokio::test]
async fn the_region_of_the_call_exists_and_any_other_that_is_named() {
    let installation = Installation::new().await;
    let here = installation.ok("DescribeRegions", &[]).await;
    assert_eq!(here.texts("regionInfo", "regionName"), ["us-east-1"]);
    assert_eq!(here.texts("regionInfo", "regionEndpoint"), ["ec2.us-east-1.amazonaws.com"]);
    let named = installation.ok("DescribeRegions", &[("RegionName.1", "eu-west-1")]).await;
    assert_eq!(named.texts("regionInfo", "regionName"), ["eu-west-1"]);
    let account = installation.ok("DescribeAccountAttributes", &[("AttributeName.1", "default-vpc")]).await;
    assert_eq!(account.texts("accountAttributeSet", "attributeName"), ["default-vpc"]);
}

#[tokio::test]
async fn the_managed_prefix_lists_of_lattice_have_stable_ids_and_their_blocks() {
    let installation = Installation::new().await;
    let list = "prefixListSet";
    let both = installation.ok("DescribeManagedPrefixLists", &[]).await;
    let mut names = both.texts(list, "prefixListName");
    names.sort();
    assert_eq!(names, ["com.amazonaws.us-east-1.ipv6.vpc-lattice", "com.amazonaws.us-east-1.vpc-lattice"]);
    assert_eq!(both.texts(list, "ownerId"), ["AWS", "AWS"]);
    for (name, family, cidrs) in [
        ("com.amazonaws.us-east-1.vpc-lattice", "IPv4", vec!["129.224.0.0/17", "169.254.171.0/24"]),
        ("com.amazonaws.us-east-1.ipv6.vpc-lattice", "IPv6", vec!["fd00:ec2:80::/64"]),
    ] {
        let filter = [("Filter.1.Name", "prefix-list-name"), ("Filter.1.Value.1", name)];
        let found = installation.ok("DescribeManagedPrefixLists", &filter).await;
        assert_eq!(found.texts(list, "addressFamily"), [family]);
        let id = found.texts(list, "prefixListId").remove(0);
        let entries = installation.ok("GetManagedPrefixListEntries", &[("PrefixListId", &id)]).await;
        assert_eq!(entries.texts("entrySet", "cidr"), cidrs);
        let by_id = installation.ok("DescribeManagedPrefixLists", &[("PrefixListId.1", &id)]).await;
        assert_eq!(by_id.texts(list, "prefixListName"), [name]);
        let by_id = [("PrefixListId", id.as_str())];
        let far = installation.ec2_in("eu-west-1", "GetManagedPrefixListEntries", &by_id).await;
        assert_eq!(far.unwrap_err().code, "InvalidPrefixListID.NotFound");
    }
    let ids = both.texts(list, "prefixListId");
    let installation = installation.restart().await;
    let again = installation.ok("DescribeManagedPrefixLists", &[]).await;
    assert_eq!(again.texts(list, "prefixListId"), ids);
    let wrong = [("PrefixListId", "pl-1")];
    assert_eq!(
        installation.refusal("GetManagedPrefixListEntries", &wrong).await,
        "InvalidPrefixListId.Malformed"
    );
}

#[tokio::test]
async fn the_caller_is_told_who_it_is() {
    let installation = Installation::new().await;
    let (status, answer) = installation.sts("GetCallerIdentity").await;
    assert_eq!(status, 200);
    let identity = answer.at("GetCallerIdentityResult");
    assert_eq!(identity.text("Account"), ACCOUNT);
    assert_eq!(identity.text("Arn"), format!("arn:aws:iam::{ACCOUNT}:user/admin"));
    assert_eq!(identity.text("UserId"), KEY_ID.replace("AKIA", "AIDA"));
    let (status, answer) = installation.sts("GetNothingOfTheKind").await;
    assert_eq!((status, answer.text("Error/Code")), (400, "InvalidAction".into()));
}

#[tokio::test]
async fn prefix_lists_are_described_with_what_is_in_them_for_older_clients() {
    let installation = Installation::new().await;
    let filter = [("Filter.1.Name", "prefix-list-name"), ("Filter.1.Value.1", "*east-1.vpc-lattice")];
    let found = installation.ok("DescribePrefixLists", &filter).await.items("prefixListSet");
    assert_eq!(found.len(), 1);
    let cidrs: Vec<String> = found[0].items("cidrSet").into_iter().map(|cidr| cidr.text).collect();
    assert_eq!(cidrs, ["129.224.0.0/17", "169.254.171.0/24"]);
    let by_id = [("PrefixListId.1", found[0].text("prefixListId"))];
    let by_id: Vec<_> = by_id.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let again = installation.ok("DescribePrefixLists", &by_id).await;
    assert_eq!(again.texts("prefixListSet", "prefixListName"), ["com.amazonaws.us-east-1.vpc-lattice"]);
}
