# A private certificate authority and a certificate of it. To be sourced after telling.sh.

# Makes an authority with a root certificate that it signs itself; its ARN is in $ca, its certificate in a file.
make_private_ca() { # domain certificate-file
    local root
    ca=$(quiet aws acm-pca create-certificate-authority --certificate-authority-type ROOT --certificate-authority-configuration \
        "{\"KeyAlgorithm\":\"RSA_4096\",\"SigningAlgorithm\":\"SHA512WITHRSA\",\"Subject\":{\"CommonName\":\"$1\",\"Organization\":\"${1%%.*}\"}}" \
        --query CertificateAuthorityArn --output text)
    quiet aws acm-pca wait certificate-authority-csr-created --certificate-authority-arn "$ca"
    quiet aws acm-pca get-certificate-authority-csr --certificate-authority-arn "$ca" --output text >"$data/csr.pem"
    root=$(quiet aws acm-pca issue-certificate --certificate-authority-arn "$ca" --csr "fileb://$data/csr.pem" \
        --signing-algorithm SHA512WITHRSA --template-arn arn:aws:acm-pca:::template/RootCACertificate/V1 \
        --validity Value=10,Type=YEARS --query CertificateArn --output text)
    quiet aws acm-pca wait certificate-issued --certificate-authority-arn "$ca" --certificate-arn "$root"
    quiet aws acm-pca get-certificate --certificate-authority-arn "$ca" --certificate-arn "$root" \
        --query Certificate --output text >"$2"
    quiet aws acm-pca import-certificate-authority-certificate --certificate-authority-arn "$ca" --certificate "fileb://$2"
}

# Has it issue a certificate for a domain and all names under it; its ARN is in $certificate.
make_certificate() { # domain
    certificate=$(quiet aws acm request-certificate --domain-name "$1" --subject-alternative-names "*.$1" \
        --certificate-authority-arn "$ca" --query CertificateArn --output text)
    until_it_is ISSUED aws acm describe-certificate --certificate-arn "$certificate" --query Certificate.Status --output text
}
