package model

// orphans finds the OVS ports that somebody made for a guest and whose device
// the host no longer has.
//
// What marks them is external_ids:iface-id, which libvirt, nova and CNIs write on
// the port of a guest, and the plain type of a device that exists by itself: the
// switch makes those of all other types (internal, patch, tunnels, vhost-user),
// and an uplink has no iface-id. The switch's own word is not enough: the
// userspace datapath (3.1) keeps the number of a port whose device is gone, and
// says no error. A host is believed to lack a device only where it shows the
// bridge's own one, so that a daemon which looks into another network namespace
// than the switch's sees no orphans.
func orphans(f Facts) map[string]string {
	if f.OVS == nil {
		return nil
	}
	out := map[string]string{}
	for name, p := range f.OVS.Ports {
		id := p.ExternalIDs[IDIface]
		if id == "" || p.Type != "" && p.Type != "system" || name == p.Bridge || p.Members > 1 {
			continue
		}
		_, here := f.Devices[name]
		_, looksRight := f.Devices[p.Bridge]
		if !here && looksRight && p.ExternalIDs[MarkOwner] == "" {
			out[name] = id
		}
	}
	return out
}
