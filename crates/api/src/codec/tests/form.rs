//! Query and EC2: forms in, XML out.

use super::*;

#[test]
fn an_ec2_form_becomes_nested_lists_without_member_levels() {
    let decoded = ec2(
        "Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=tag%3Aenv&Filter.1.Value.1=a+b&Filter.1.Value.2=c\
         &VpcId.10=vpc-10&VpcId.2=vpc-2&VpcId.x=no&MaxResults=50&NoSuchMember.1.Deep=1",
    )
    .unwrap();
    assert_eq!((decoded.operation.name.as_str(), decoded.protocol), ("DescribeVpcs", Protocol::Ec2));
    assert_eq!(
        decoded.input,
        json!({
            "Filters": [{"Name": "tag:env", "Values": ["a b", "c"]}],
            "VpcIds": ["vpc-2", "vpc-10"],
            "MaxResults": 50
        })
    );
}

#[test]
fn a_form_may_come_in_the_query_string_of_a_get() {
    let decoded =
        call("sts", "GET /?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", &[], "").unwrap();
    assert_eq!(decoded.operation.name, "GetCallerIdentity");
    assert_eq!(decoded.input, json!({}));
}

#[test]
fn forms_that_name_no_action_or_hold_wrong_types_get_their_family_error() {
    assert_eq!(code(ec2("")), ("MissingAction".into(), 400));
    assert_eq!(code(ec2("Action=Nope")), ("InvalidAction".into(), 400));
    assert_eq!(code(ec2("Action=DescribeVpcs&MaxResults=many")), ("InvalidParameterValue".into(), 400));
    assert_eq!(code(ec2("Action=DescribeVpcs&DryRun=maybe")), ("InvalidParameterValue".into(), 400));
    assert_eq!(code(ec2("Action=DescribeVpcs&Filter.1=flat")), ("InvalidParameterValue".into(), 400));
    assert_eq!(code(ec2("Action=DescribeVpcs&NextToken.1=deep")), ("InvalidParameterValue".into(), 400));
    assert_eq!(code(ec2("Action=CreateSubnet")), ("MissingParameter".into(), 400));
    assert_eq!(code(call("sts", "POST /", &[], "Action=Nope")), ("InvalidAction".into(), 400));
}

#[test]
fn floods_of_parameters_and_dots_are_bounded() {
    let many: String = (0..20_000).map(|n| format!("VpcId.{n}=v&")).collect();
    assert_eq!(code(ec2(&format!("Action=DescribeVpcs&{many}"))).1, 400);
    let deep = format!("Action=DescribeVpcs&Filter{}=x", ".1".repeat(100_000));
    assert_eq!(ec2(&deep).unwrap().input, json!({}));
}

#[test]
fn an_ec2_answer_begins_with_the_request_id_and_wraps_lists_in_items() {
    let output = json!({"Vpcs": [
        {"VpcId": "vpc-1", "State": "available", "IsDefault": false, "Tags": [{"Key": "k", "Value": "<&>\"\r\u{1}"}]},
        {"VpcId": "vpc-2", "Tags": []}
    ], "NextToken": null});
    let (status, headers, body) = answer("ec2", "DescribeVpcs", &output);
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/xml;charset=UTF-8");
    assert_eq!(headers["x-amzn-requestid"], "request-1");
    assert_eq!(
        body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>request-1</requestId><vpcSet>\
         <item><isDefault>false</isDefault><tagSet><item><key>k</key>\
         <value>&lt;&amp;&gt;&quot;&#xD;\u{fffd}</value></item></tagSet>\
         <vpcId>vpc-1</vpcId><state>available</state></item>\
         <item><tagSet></tagSet><vpcId>vpc-2</vpcId></item>\
         </vpcSet></DescribeVpcsResponse>"
    );
}

#[test]
fn an_ec2_operation_without_an_output_answers_true() {
    let (_, _, body) = answer("ec2", "DeleteVpc", &json!({}));
    assert!(body.contains("<requestId>request-1</requestId><return>true</return>"), "{body}");
}

#[test]
fn a_query_answer_wraps_its_result() {
    let output =
        json!({"UserId": "AIDA", "Account": "111122223333", "Arn": "arn:aws:iam::111122223333:root"});
    let (_, _, body) = answer("sts", "GetCallerIdentity", &output);
    assert!(
        body.ends_with(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <GetCallerIdentityResult><UserId>AIDA</UserId><Account>111122223333</Account>\
             <Arn>arn:aws:iam::111122223333:root</Arn></GetCallerIdentityResult>\
             <ResponseMetadata><RequestId>request-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        ),
        "{body}"
    );
}

#[test]
fn xml_errors_have_the_envelope_of_their_family() {
    let exception = Exception::ec2("InvalidVpcID.NotFound", 400, "no <vpc>");
    let (status, headers, body) = split(encode_error(Some(service("ec2")), Protocol::Ec2, &exception, "r"));
    assert_eq!((status, &headers["x-amzn-requestid"]), (400, &HeaderValue::from_static("r")));
    assert!(
        body.ends_with(
            "<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>\
             <Message>no &lt;vpc&gt;</Message></Error></Errors><RequestID>r</RequestID></Response>"
        ),
        "{body}"
    );
    let (_, _, body) = split(encode_error(Some(service("sts")), Protocol::Query, &exception, "r"));
    assert!(
        body.contains(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"
        ),
        "{body}"
    );
    let broken = Exception::plain("InternalFailure", 500, "m");
    let (_, _, body) = split(encode_error(None, Protocol::Query, &broken, "r"));
    assert!(body.contains("<ErrorResponse><Error><Type>Receiver</Type>"), "{body}");
}
