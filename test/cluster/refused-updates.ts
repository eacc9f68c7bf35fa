import { type ApiAccess, callApi } from './api.ts';

const POLICIES = ['validatingadmissionpolicies', 'validatingadmissionpolicybindings'].map(
  (name) => `/apis/admissionregistration.k8s.io/v1/${name}`,
) as [string, string];

/** The API server soon refuses all updates that `matchConstraints` name, with 422, until {@link allowUpdates} of this name. */
export async function refuseUpdates(access: ApiAccess, name: string, matchConstraints: object): Promise<void> {
  const metadata = { name };
  const policy = { metadata, spec: { matchConstraints, validations: [{ expression: 'false' }] } };
  const binding = { metadata, spec: { policyName: name, validationActions: ['Deny'] } };
  await callApi(access, POLICIES[0], { method: 'POST', body: policy });
  await callApi(access, POLICIES[1], { method: 'POST', body: binding });
}

export async function allowUpdates(access: ApiAccess, name: string): Promise<void> {
  for (const policies of POLICIES) await callApi(access, `${policies}/${name}`, { method: 'DELETE' });
}
