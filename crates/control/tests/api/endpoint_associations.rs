use serde_json::json;

use crate::installation::Installation;

#[tokio::test]
async fn there_are_no_endpoints_and_what_is_asked_about_has_to_exist() {
    let trellis = Installation::new().await;
    let network = trellis.network().await;
    let gateway = trellis.gateway(&trellis.vpc(0).await).await;
    let resource = trellis.resource("GROUP", json!({"resourceGatewayIdentifier": gateway["id"]})).await;
    let empty = json!({"items": []});
    let of_network = json!({"serviceNetworkIdentifier": network["arn"]});
    assert_eq!(trellis.ok("ListServiceNetworkVpcEndpointAssociations", of_network).await, empty);
    let of_resource = json!({"resourceConfigurationIdentifier": resource["id"]});
    assert_eq!(trellis.ok("ListResourceEndpointAssociations", of_resource).await, empty);
    for (operation, input) in [
        (
            "ListServiceNetworkVpcEndpointAssociations",
            json!({"serviceNetworkIdentifier": "sn-00000000000000fff"}),
        ),
        (
            "ListResourceEndpointAssociations",
            json!({"resourceConfigurationIdentifier": "rcfg-00000000000000fff"}),
        ),
        (
            "DeleteResourceEndpointAssociation",
            json!({"resourceEndpointAssociationIdentifier": "rea-00000000000000fff"}),
        ),
    ] {
        let refused = trellis.refused(operation, input).await;
        assert!(refused.is(404, "ResourceNotFoundException"), "{operation} {refused:?}");
    }
}
