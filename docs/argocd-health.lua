-- Health of btrfs-operator's objects for Argo CD, by the same rules as kstatus; docs/gitops.md says where it goes.
local health = { status = "Progressing", message = "waiting for the operator" }
if obj.metadata.deletionTimestamp ~= nil then
  health.message = "being deleted"
  return health
end
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
local said = {}
for _, condition in ipairs(status.conditions) do
  said[condition.type] = condition
end
local ready = said.Ready
if ready ~= nil then
  health.message = ready.reason .. ": " .. ready.message
end
-- What is said of an older spec says nothing of this one.
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "the spec has changed"
  if status.observedGeneration == -1 then
    health.message = "waiting for the operator"
  end
  local scheduled = said.Scheduled
  if scheduled ~= nil and scheduled.status == "False" then
    health.message = scheduled.reason .. ": " .. scheduled.message
  end
  return health
end
if said.Reconciling ~= nil and said.Reconciling.status == "True" then
  health.message = said.Reconciling.reason .. ": " .. said.Reconciling.message
elseif said.Stalled ~= nil and said.Stalled.status == "True" then
  health.status = "Degraded"
  health.message = said.Stalled.reason .. ": " .. said.Stalled.message
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
end
return health
