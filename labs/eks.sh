# What the labs do on EKS. To be sourced after scripts/demo.d/telling.sh; needs the programs of scripts/kubernetes on
# PATH, Helm among them.

export KUBECONFIG=$data/kubeconfig
export HELM_CACHE_HOME=$data/helm HELM_CONFIG_HOME=$data/helm HELM_DATA_HOME=$data/helm
# The definitions of the Gateway API's objects, which scripts/setup fetches.
gateway_api=${TRELLIS_GATEWAY_API:-target/gateway-api}/standard
# Seconds that what takes as long as programs start may take.
patience=180

# Shows a command and its answer, which has to match: the lab promises it.
promise() { # pattern command...
    local wanted=$1
    shift
    printf '\033[36m$ %s\033[0m\n' "$*"
    "$@" >"$data/answer" 2>&1 || true
    # Denials end without a line's end.
    sed '$a\' "$data/answer"
    grep -qE -- "$wanted" "$data/answer" || fail "that is not the answer the lab promises: $wanted"
}

# As until_it_is, for what takes as long as programs start.
settle() { # wanted command...
    local wanted=$1 seen= until=$((SECONDS + patience))
    shift
    while [ "$SECONDS" -lt "$until" ]; do
        # An answer that fails is none, though nothing is what is waited for.
        seen=$("$@" 2>/dev/null) && [ "$seen" = "$wanted" ] && return
        sleep 0.5
    done
    fail "$*: $seen, not $wanted after $patience s"
}

# A role that a service of AWS takes on; its ARN, on stdout.
role() { # name service
    quiet aws iam create-role --role-name "$1" --query Role.Arn --output text --assume-role-policy-document \
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"$2\"},\"Action\":[\"sts:AssumeRole\",\"sts:TagSession\"]}]}"
}

ask_for_cluster() { # name role subnets
    quiet aws eks create-cluster --name "$1" --role-arn "$2" --resources-vpc-config "subnetIds=$3" --query cluster.status --output text
}
await_cluster() { # name
    settle ACTIVE aws eks describe-cluster --name "$1" --query cluster.status --output text
}
ask_for_nodes() { # cluster name role subnet count
    quiet aws eks create-nodegroup --cluster-name "$1" --nodegroup-name "$2" --node-role "$3" --subnets "$4" \
        --scaling-config "minSize=0,maxSize=3,desiredSize=$5" --query nodegroup.status --output text
}
await_nodes() { # cluster name
    settle ACTIVE aws eks describe-nodegroup --cluster-name "$1" --nodegroup-name "$2" --query nodegroup.status --output text
}

# Lets VPC Lattice reach the nodes and pods of a cluster.
admit_lattice() { # cluster
    local group list
    group=$(quiet aws eks describe-cluster --name "$1" --query cluster.resourcesVpcConfig.clusterSecurityGroupId --output text)
    list=$(quiet aws ec2 describe-managed-prefix-lists --output text \
        --query "PrefixLists[?PrefixListName=='com.amazonaws.$AWS_REGION.vpc-lattice'].PrefixListId")
    quiet aws ec2 authorize-security-group-ingress --group-id "$group" --query Return --output text \
        --ip-permissions "PrefixListIds=[{PrefixListId=$list}],IpProtocol=-1"
}

# Takes a cluster and its nodes away.
remove_cluster() { # name nodegroup
    quiet aws eks delete-nodegroup --cluster-name "$1" --nodegroup-name "$2" --query nodegroup.status --output text
    settle "" aws eks list-nodegroups --cluster-name "$1" --query nodegroups --output text
    quiet aws eks delete-cluster --name "$1" --query cluster.status --output text
    settle "" aws eks list-clusters --query "clusters[?@=='$1']" --output text
}

# The image of the controller, made of the `trellis` that runs here; nft is for its signing proxy's redirect.
build_image_of_trellis() {
    show trellis image build --name trellis:0.1.0 --env PATH=/ --with "$(PATH=$PATH:/usr/sbin:/sbin command -v nft)" "$(command -v trellis)"
}

# What the Gateway API controller may do, and the role that its pods take on; its ARN is in $controller_role.
make_controller_role() {
    local policy
    quiet aws iam create-policy --policy-name VPCLatticeControllerIAMPolicy --policy-document file://labs/controller-policy.json \
        --query Policy.PolicyName --output text
    policy=$(quiet aws iam list-policies --query 'Policies[?PolicyName==`VPCLatticeControllerIAMPolicy`].Arn' --output text)
    controller_role=$(role VPCLatticeControllerIAMRole pods.eks.amazonaws.com)
    quiet aws iam attach-role-policy --role-name VPCLatticeControllerIAMRole --policy-arn "$policy"
}

# Definitions, an identity for its pods, and the chart, in the cluster that kubectl speaks to.
install_controller() { # cluster vpc network
    local namespace=aws-application-networking-system
    show kubectl apply --server-side -f "$gateway_api"
    show kubectl apply -f labs/controller.yaml
    quiet aws eks create-addon --cluster-name "$1" --addon-name eks-pod-identity-agent --query addon.status --output text
    quiet aws eks create-pod-identity-association --cluster-name "$1" --role-arn "$controller_role" --namespace $namespace \
        --service-account gateway-api-controller --query association.associationId --output text
    show helm install gateway-api-controller deploy/helm/trellis-kube --namespace $namespace --wait --timeout 3m \
        --set serviceAccount.create=false --set awsRegion="$AWS_REGION" --set-string awsAccountId="$AWS_ACCOUNT_ID" \
        --set clusterName="$1" --set clusterVpcId="$2" --set defaultServiceNetwork="$3"
    show kubectl get pods --namespace $namespace
}

# The name that VPC Lattice gave to the service of a route.
assigned_domain() { # route further-flags...
    local path='{.metadata.annotations.application-networking\.k8s\.aws/lattice-assigned-domain-name}'
    quiet kubectl wait --for="jsonpath=$path" "httproute/$1" --timeout=60s "${@:2}" >&2
    quiet kubectl get httproute "$1" -o jsonpath="$path" "${@:2}"
}

# Takes a service network away whose services have gone, and sees that nothing of them is left.
remove_network() { # network
    local association
    for association in $(aws vpc-lattice list-service-network-vpc-associations --service-network-identifier "$1" --query 'items[].id' --output text); do
        lattice delete-service-network-vpc-association --service-network-vpc-association-identifier "$association" --query status
    done
    settle "" aws vpc-lattice list-service-network-vpc-associations --service-network-identifier "$1" --query 'items[].id' --output text
    lattice delete-service-network --service-network-identifier "$1"
    settle "" aws vpc-lattice list-services --query 'items[].name' --output text
    settle "" aws vpc-lattice list-target-groups --query 'items[].name' --output text
}
