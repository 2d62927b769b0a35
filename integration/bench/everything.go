package main

import (
	"reflect"

	"github.com/ovn-kubernetes/libovsdb/model"
)

// The rows of the four tables with every column of Open vSwitch 3.1, as a client that monitors
// everything has them.
type (
	bridgeRow struct {
		UUID                string            `ovsdb:"_uuid"`
		AutoAttach          *string           `ovsdb:"auto_attach"`
		Controller          []string          `ovsdb:"controller"`
		DatapathID          *string           `ovsdb:"datapath_id"`
		DatapathType        string            `ovsdb:"datapath_type"`
		DatapathVersion     string            `ovsdb:"datapath_version"`
		ExternalIDs         map[string]string `ovsdb:"external_ids"`
		FailMode            *string           `ovsdb:"fail_mode"`
		FloodVLANs          []int             `ovsdb:"flood_vlans"`
		FlowTables          map[int]string    `ovsdb:"flow_tables"`
		IPFIX               *string           `ovsdb:"ipfix"`
		McastSnoopingEnable bool              `ovsdb:"mcast_snooping_enable"`
		Mirrors             []string          `ovsdb:"mirrors"`
		Name                string            `ovsdb:"name"`
		Netflow             *string           `ovsdb:"netflow"`
		OtherConfig         map[string]string `ovsdb:"other_config"`
		Ports               []string          `ovsdb:"ports"`
		Protocols           []string          `ovsdb:"protocols"`
		RSTPEnable          bool              `ovsdb:"rstp_enable"`
		RSTPStatus          map[string]string `ovsdb:"rstp_status"`
		Sflow               *string           `ovsdb:"sflow"`
		Status              map[string]string `ovsdb:"status"`
		STPEnable           bool              `ovsdb:"stp_enable"`
	}

	interfaceRow struct {
		UUID                      string            `ovsdb:"_uuid"`
		AdminState                *string           `ovsdb:"admin_state"`
		BFD                       map[string]string `ovsdb:"bfd"`
		BFDStatus                 map[string]string `ovsdb:"bfd_status"`
		CFMFault                  *bool             `ovsdb:"cfm_fault"`
		CFMFaultStatus            []string          `ovsdb:"cfm_fault_status"`
		CFMFlapCount              *int              `ovsdb:"cfm_flap_count"`
		CFMHealth                 *int              `ovsdb:"cfm_health"`
		CFMMpid                   *int              `ovsdb:"cfm_mpid"`
		CFMRemoteMpids            []int             `ovsdb:"cfm_remote_mpids"`
		CFMRemoteOpstate          *string           `ovsdb:"cfm_remote_opstate"`
		Duplex                    *string           `ovsdb:"duplex"`
		Error                     *string           `ovsdb:"error"`
		ExternalIDs               map[string]string `ovsdb:"external_ids"`
		Ifindex                   *int              `ovsdb:"ifindex"`
		IngressPolicingBurst      int               `ovsdb:"ingress_policing_burst"`
		IngressPolicingKpktsBurst int               `ovsdb:"ingress_policing_kpkts_burst"`
		IngressPolicingKpktsRate  int               `ovsdb:"ingress_policing_kpkts_rate"`
		IngressPolicingRate       int               `ovsdb:"ingress_policing_rate"`
		LACPCurrent               *bool             `ovsdb:"lacp_current"`
		LinkResets                *int              `ovsdb:"link_resets"`
		LinkSpeed                 *int              `ovsdb:"link_speed"`
		LinkState                 *string           `ovsdb:"link_state"`
		LLDP                      map[string]string `ovsdb:"lldp"`
		MAC                       *string           `ovsdb:"mac"`
		MACInUse                  *string           `ovsdb:"mac_in_use"`
		MTU                       *int              `ovsdb:"mtu"`
		MTURequest                *int              `ovsdb:"mtu_request"`
		Name                      string            `ovsdb:"name"`
		Ofport                    *int              `ovsdb:"ofport"`
		OfportRequest             *int              `ovsdb:"ofport_request"`
		Options                   map[string]string `ovsdb:"options"`
		OtherConfig               map[string]string `ovsdb:"other_config"`
		Statistics                map[string]int    `ovsdb:"statistics"`
		Status                    map[string]string `ovsdb:"status"`
		Type                      string            `ovsdb:"type"`
	}

	openvSwitchRow struct {
		UUID            string            `ovsdb:"_uuid"`
		Bridges         []string          `ovsdb:"bridges"`
		CurCfg          int               `ovsdb:"cur_cfg"`
		DatapathTypes   []string          `ovsdb:"datapath_types"`
		Datapaths       map[string]string `ovsdb:"datapaths"`
		DBVersion       *string           `ovsdb:"db_version"`
		DpdkInitialized bool              `ovsdb:"dpdk_initialized"`
		DpdkVersion     *string           `ovsdb:"dpdk_version"`
		ExternalIDs     map[string]string `ovsdb:"external_ids"`
		IfaceTypes      []string          `ovsdb:"iface_types"`
		ManagerOptions  []string          `ovsdb:"manager_options"`
		NextCfg         int               `ovsdb:"next_cfg"`
		OtherConfig     map[string]string `ovsdb:"other_config"`
		OVSVersion      *string           `ovsdb:"ovs_version"`
		SSL             *string           `ovsdb:"ssl"`
		Statistics      map[string]string `ovsdb:"statistics"`
		SystemType      *string           `ovsdb:"system_type"`
		SystemVersion   *string           `ovsdb:"system_version"`
	}

	portRow struct {
		UUID            string            `ovsdb:"_uuid"`
		BondActiveSlave *string           `ovsdb:"bond_active_slave"`
		BondDowndelay   int               `ovsdb:"bond_downdelay"`
		BondFakeIface   bool              `ovsdb:"bond_fake_iface"`
		BondMode        *string           `ovsdb:"bond_mode"`
		BondUpdelay     int               `ovsdb:"bond_updelay"`
		CVLANs          []int             `ovsdb:"cvlans"`
		ExternalIDs     map[string]string `ovsdb:"external_ids"`
		FakeBridge      bool              `ovsdb:"fake_bridge"`
		Interfaces      []string          `ovsdb:"interfaces"`
		LACP            *string           `ovsdb:"lacp"`
		MAC             *string           `ovsdb:"mac"`
		Name            string            `ovsdb:"name"`
		OtherConfig     map[string]string `ovsdb:"other_config"`
		Protected       bool              `ovsdb:"protected"`
		QOS             *string           `ovsdb:"qos"`
		RSTPStatistics  map[string]int    `ovsdb:"rstp_statistics"`
		RSTPStatus      map[string]string `ovsdb:"rstp_status"`
		Statistics      map[string]int    `ovsdb:"statistics"`
		Status          map[string]string `ovsdb:"status"`
		Tag             *int              `ovsdb:"tag"`
		Trunks          []int             `ovsdb:"trunks"`
		VLANMode        *string           `ovsdb:"vlan_mode"`
	}
)

// CloneModel spares libovsdb its detour by JSON.
func (r *bridgeRow) CloneModel() model.Model { return clone(r) }

// CloneModelInto is CloneModel into a row that is there.
func (r *bridgeRow) CloneModelInto(to model.Model) { *to.(*bridgeRow) = *clone(r) }

// CloneModel spares libovsdb its detour by JSON.
func (r *interfaceRow) CloneModel() model.Model { return clone(r) }

// CloneModelInto is CloneModel into a row that is there.
func (r *interfaceRow) CloneModelInto(to model.Model) { *to.(*interfaceRow) = *clone(r) }

// CloneModel spares libovsdb its detour by JSON.
func (r *openvSwitchRow) CloneModel() model.Model { return clone(r) }

// CloneModelInto is CloneModel into a row that is there.
func (r *openvSwitchRow) CloneModelInto(to model.Model) { *to.(*openvSwitchRow) = *clone(r) }

// CloneModel spares libovsdb its detour by JSON.
func (r *portRow) CloneModel() model.Model { return clone(r) }

// CloneModelInto is CloneModel into a row that is there.
func (r *portRow) CloneModelInto(to model.Model) { *to.(*portRow) = *clone(r) }

// clone copies a row with its maps, sets and optional columns.
func clone[T any](row *T) *T {
	out := *row
	v := reflect.ValueOf(&out).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch {
		case f.Kind() == reflect.Map && !f.IsNil():
			m := reflect.MakeMapWithSize(f.Type(), f.Len())
			for it := f.MapRange(); it.Next(); {
				m.SetMapIndex(it.Key(), it.Value())
			}
			f.Set(m)
		case f.Kind() == reflect.Slice && !f.IsNil():
			f.Set(reflect.AppendSlice(reflect.MakeSlice(f.Type(), 0, f.Len()), f))
		case f.Kind() == reflect.Pointer && !f.IsNil():
			p := reflect.New(f.Type().Elem())
			p.Elem().Set(f.Elem())
			f.Set(p)
		}
	}
	return &out
}
