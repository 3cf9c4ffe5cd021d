//! Policies that every account has, by the ARNs AWS gives them. The documents are ours: each says in its description
//! what it allows here.

/// One of them.
#[derive(Debug)]
pub struct AwsManaged {
    /// `/` or `/aws-service-role/`.
    pub path: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub document: &'static str,
}

impl AwsManaged {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// `ANPA` and what makes it twenty-one characters, the same at every start.
    pub fn id(&self) -> String {
        let letters =
            self.name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase());
        let rest: String = letters.map(char::from).chain(std::iter::repeat('A')).take(17).collect();
        format!("ANPA{rest}")
    }
}

/// The policy `arn` names.
pub fn aws_managed(arn: &str) -> Option<&'static AwsManaged> {
    let rest = arn.strip_prefix("arn:aws:iam::aws:policy")?;
    AWS_MANAGED.iter().find(|policy| rest.strip_prefix(policy.path) == Some(policy.name))
}

/// Every one, in the order of their names.
pub const AWS_MANAGED: &[AwsManaged] = &[
    AwsManaged {
        path: "/",
        name: "AWSCertificateManagerPrivateCAReadOnly",
        description: "Lists, describes and gets private certificate authorities and what they issued.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["acm-pca:Describe*","acm-pca:Get*","acm-pca:List*"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AdministratorAccess",
        description: "Everything in the account.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AmazonEC2ContainerRegistryReadOnly",
        description: "Reads images and what is known of them.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:BatchCheckLayerAvailability","ecr:BatchGetImage","ecr:Describe*","ecr:Get*","ecr:List*"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AmazonEKSClusterPolicy",
        description: "What a Kubernetes control plane does for its cluster: instances, interfaces, groups, load balancers.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["autoscaling:Describe*","autoscaling:UpdateAutoScalingGroup","ec2:AssignPrivateIpAddresses","ec2:AttachNetworkInterface","ec2:AuthorizeSecurityGroupIngress","ec2:CreateNetworkInterface","ec2:CreateNetworkInterfacePermission","ec2:CreateRoute","ec2:CreateSecurityGroup","ec2:CreateTags","ec2:DeleteNetworkInterface","ec2:DeleteRoute","ec2:DeleteSecurityGroup","ec2:Describe*","ec2:DetachNetworkInterface","ec2:ModifyInstanceAttribute","ec2:ModifyNetworkInterfaceAttribute","ec2:RevokeSecurityGroupIngress","elasticloadbalancing:*","kms:DescribeKey"],"Resource":"*"},{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","Condition":{"StringEquals":{"iam:AWSServiceName":"elasticloadbalancing.amazonaws.com"}}}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AmazonEKSVPCResourceController",
        description: "What the VPC resource controller does: network interfaces and their addresses.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:AssignPrivateIpAddresses","ec2:AttachNetworkInterface","ec2:CreateNetworkInterface","ec2:CreateTags","ec2:DeleteNetworkInterface","ec2:Describe*","ec2:DetachNetworkInterface","ec2:ModifyNetworkInterfaceAttribute","ec2:UnassignPrivateIpAddresses"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AmazonEKSWorkerNodePolicy",
        description: "What a Kubernetes node needs to join its cluster, and to ask for the credentials of its pods.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:Describe*","eks:DescribeCluster","eks-auth:AssumeRoleForPodIdentity"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AmazonEKS_CNI_Policy",
        description: "What a node's network plugin does: addresses on the node's interfaces.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:AssignIpv6Addresses","ec2:AssignPrivateIpAddresses","ec2:AttachNetworkInterface","ec2:CreateNetworkInterface","ec2:DeleteNetworkInterface","ec2:Describe*","ec2:DetachNetworkInterface","ec2:ModifyNetworkInterfaceAttribute","ec2:UnassignPrivateIpAddresses"],"Resource":"*"},{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:*:*:network-interface/*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "AmazonSSMManagedInstanceCore",
        description: "What an instance needs to be managed over SSM: its agent's own calls.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ssm:DescribeAssociation","ssm:DescribeDocument","ssm:GetDocument","ssm:GetManifest","ssm:GetParameter","ssm:GetParameters","ssm:ListAssociations","ssm:ListInstanceAssociations","ssm:PutComplianceItems","ssm:PutInventory","ssm:UpdateAssociationStatus","ssm:UpdateInstanceInformation","ssmmessages:*","ec2messages:*"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "IAMFullAccess",
        description: "Everything in IAM, and what there is of the organisation to read.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","organizations:Describe*","organizations:List*"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "IAMReadOnlyAccess",
        description: "Gets, lists and simulates in IAM.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:Get*","iam:List*","iam:Simulate*"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "ReadOnlyAccess",
        description: "Describes, gets and lists in every service.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["acm:Describe*","acm:Get*","acm:List*","acm-pca:Describe*","acm-pca:Get*","acm-pca:List*","cloudwatch:Describe*","cloudwatch:Get*","cloudwatch:List*","ec2:Describe*","ec2:Get*","eks:Describe*","eks:List*","elasticloadbalancing:Describe*","iam:Get*","iam:List*","lambda:Get*","lambda:List*","logs:Describe*","logs:Filter*","logs:Get*","logs:List*","organizations:Describe*","organizations:List*","ram:Get*","ram:List*","route53:Get*","route53:List*","servicediscovery:Get*","servicediscovery:List*","ssm:Describe*","ssm:Get*","ssm:List*","sts:GetAccessKeyInfo","sts:GetCallerIdentity","tag:Get*","vpc-lattice:Get*","vpc-lattice:List*"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "VPCLatticeFullAccess",
        description: "Everything in VPC Lattice, and what other services are asked for along with it.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["vpc-lattice:*","acm:DescribeCertificate","acm:ListCertificates","ec2:DescribeInstances","ec2:DescribeSecurityGroups","ec2:DescribeSubnets","ec2:DescribeVpcs","ec2:GetManagedPrefixListEntries","elasticloadbalancing:DescribeLoadBalancers","firehose:TagDeliveryStream","lambda:AddPermission","lambda:GetFunction","lambda:GetPolicy","lambda:RemovePermission","logs:CreateLogDelivery","logs:DeleteLogDelivery","logs:DescribeLogGroups","logs:DescribeResourcePolicies","logs:GetLogDelivery","logs:ListLogDeliveries","logs:PutResourcePolicy","logs:UpdateLogDelivery","s3:GetBucketPolicy","s3:PutBucketPolicy"],"Resource":"*"},{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"arn:aws:iam::*:role/aws-service-role/vpc-lattice.amazonaws.com/AWSServiceRoleForVpcLattice","Condition":{"StringLike":{"iam:AWSServiceName":"vpc-lattice.amazonaws.com"}}},{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"arn:aws:iam::*:role/aws-service-role/delivery.logs.amazonaws.com/AWSServiceRoleForLogDelivery","Condition":{"StringLike":{"iam:AWSServiceName":"delivery.logs.amazonaws.com"}}}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "VPCLatticeReadOnlyAccess",
        description: "Gets and lists in VPC Lattice, and describes what its resources are made of.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["vpc-lattice:Get*","vpc-lattice:List*","acm:DescribeCertificate","acm:ListCertificates","ec2:DescribeInstances","ec2:DescribeSecurityGroups","ec2:DescribeSubnets","ec2:DescribeVpcs","elasticloadbalancing:DescribeLoadBalancers","lambda:GetFunction","lambda:ListFunctions","logs:DescribeLogGroups","logs:GetLogDelivery","logs:ListLogDeliveries"],"Resource":"*"}]}"#,
    },
    AwsManaged {
        path: "/",
        name: "VPCLatticeServicesInvokeAccess",
        description: "Calls every service in VPC Lattice.",
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"vpc-lattice-svcs:Invoke","Resource":"*"}]}"#,
    },
];
