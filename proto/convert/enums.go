package convert

import (
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

// enumMap pairs the wire's values with the model's. What is not in it is unset
// on either side: zero.
type enumMap[W, M comparable] map[W]M

func (e enumMap[W, M]) wire(m M) W {
	for w, v := range e {
		if v == m {
			return w
		}
	}
	var unset W
	return unset
}

var (
	encaps = enumMap[greavev1.Encap, model.Encap]{
		greavev1.Encap_ENCAP_GRE:    model.EncapGRE,
		greavev1.Encap_ENCAP_VXLAN:  model.EncapVXLAN,
		greavev1.Encap_ENCAP_GENEVE: model.EncapGeneve,
		greavev1.Encap_ENCAP_ERSPAN: model.EncapERSPAN,
	}
	backends = enumMap[greavev1.Backend, model.Backend]{
		greavev1.Backend_BACKEND_AUTO:   model.BackendAuto,
		greavev1.Backend_BACKEND_OVS:    model.BackendOVS,
		greavev1.Backend_BACKEND_KERNEL: model.BackendKernel,
	}
	layers = enumMap[greavev1.Layer, model.Layer]{
		greavev1.Layer_LAYER_L2: model.LayerL2,
		greavev1.Layer_LAYER_L3: model.LayerL3,
	}
	udpEncaps = enumMap[greavev1.UdpEncapType, model.UDPEncapType]{
		greavev1.UdpEncapType_UDP_ENCAP_TYPE_FOU: model.UDPEncapFOU,
		greavev1.UdpEncapType_UDP_ENCAP_TYPE_GUE: model.UDPEncapGUE,
	}
	datapaths = enumMap[greavev1.Datapath, model.Datapath]{
		greavev1.Datapath_DATAPATH_AUTO:   model.DatapathAuto,
		greavev1.Datapath_DATAPATH_SYSTEM: model.DatapathSystem,
		greavev1.Datapath_DATAPATH_NETDEV: model.DatapathNetdev,
	}
	failModes = enumMap[greavev1.FailMode, model.FailMode]{
		greavev1.FailMode_FAIL_MODE_SECURE:     model.FailSecure,
		greavev1.FailMode_FAIL_MODE_STANDALONE: model.FailStandalone,
	}
	forwardings = enumMap[greavev1.Forwarding, model.Forwarding]{
		greavev1.Forwarding_FORWARDING_OVERLAY: model.ForwardOverlay,
		greavev1.Forwarding_FORWARDING_NORMAL:  model.ForwardNormal,
	}
	vlanModes = enumMap[greavev1.VlanMode, model.VLANMode]{
		greavev1.VlanMode_VLAN_MODE_ACCESS:          model.VLANAccess,
		greavev1.VlanMode_VLAN_MODE_TRUNK:           model.VLANTrunk,
		greavev1.VlanMode_VLAN_MODE_NATIVE_TAGGED:   model.VLANNativeTagged,
		greavev1.VlanMode_VLAN_MODE_NATIVE_UNTAGGED: model.VLANNativeUntagged,
		greavev1.VlanMode_VLAN_MODE_DOT1Q_TUNNEL:    model.VLANTunnel,
	}
	activations = enumMap[greavev1.ActivationTrigger, model.Activation]{
		greavev1.ActivationTrigger_ACTIVATION_TRIGGER_ANNOUNCEMENT: model.ActivateAnnouncement,
		greavev1.ActivationTrigger_ACTIVATION_TRIGGER_CALL:         model.ActivateCall,
	}
	pathRoles = enumMap[greavev1.PathRole, model.PathRole]{
		greavev1.PathRole_PATH_ROLE_ACTIVE: model.PathActive,
		greavev1.PathRole_PATH_ROLE_BACKUP: model.PathBackup,
	}
	replications = enumMap[greavev1.ReplicationMode, model.ReplicationMode]{
		greavev1.ReplicationMode_REPLICATION_MODE_HEAD_END:   model.ReplicationHeadEnd,
		greavev1.ReplicationMode_REPLICATION_MODE_REPLICATOR: model.ReplicationReplicator,
		greavev1.ReplicationMode_REPLICATION_MODE_RELAY:      model.ReplicationRelay,
	}
	unknowns = enumMap[greavev1.UnknownUnicast, model.Unknown]{
		greavev1.UnknownUnicast_UNKNOWN_UNICAST_FLOOD: model.UnknownFlood,
		greavev1.UnknownUnicast_UNKNOWN_UNICAST_DROP:  model.UnknownDrop,
	}
)
