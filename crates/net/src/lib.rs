//! Linux networking: namespaces, links, routes, nftables and sockets opened inside a namespace.
