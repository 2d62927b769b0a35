package main

import (
	"testing"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func TestStateText(t *testing.T) {
	s := &greavev1.ObjectStatus{State: greavev1.ResourceState_RESOURCE_STATE_ACTIVE, Conditions: []*greavev1.Condition{
		{Type: "Ready", Status: greavev1.ConditionStatus_CONDITION_STATUS_TRUE},
		{Type: "Activated", Status: greavev1.ConditionStatus_CONDITION_STATUS_FALSE},
	}}
	if got := stateText(s); got != "staged" {
		t.Errorf("a port whose guest is not here is %q, want staged", got)
	}
	s.Conditions[1].Status = greavev1.ConditionStatus_CONDITION_STATUS_TRUE
	if got := stateText(s); got != "active" {
		t.Errorf("a port whose guest is here is %q, want active", got)
	}
}
