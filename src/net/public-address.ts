import ipaddr from 'ipaddr.js';

/** All that the registry of IPv6 has given to the public so far (RFC 4291, section 2.4; IANA "IPv6 Global Unicast Address Assignments"). */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * True for an address that is one of the public Internet, and not of this machine, its networks or a tunnel that could lead there:
 * loopback, private, link-local, carrier-grade NAT, multicast, IPv4 in IPv6 of every kind and what is reserved are none.
 */
export function isPublicAddress(address: string): boolean {
  // NOTE: ipaddr.js also reads forms such as 0x7f.1 and 010.0.0.1, which not every program takes for the same address.
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST);
}
