import { Alert, Button, Card, Group, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../../api/problem';
import { changePassword, useSession } from '../../session/session';
import { fieldErrors, notifySuccess, useErrorText } from '../../ui/errors';

export function PasswordCard() {
    const { t } = useTranslation();
    const session = useSession();
    const errorText = useErrorText();
    const form = useForm({
        initialValues: { current_password: '', new_password: '', repeated: '' },
        validate: {
            current_password: (value) => (value === '' ? t('field.required') : null),
            new_password: (value) => (value === '' ? t('field.required') : null),
            repeated: (value, values) => (value === values.new_password ? null : t('own_account.not_the_same')),
        },
    });
    const change = useMutation({
        mutationFn: ({ current_password, new_password }: typeof form.values) =>
            changePassword(current_password, new_password),
        onSuccess: () => {
            form.reset();
            notifySuccess(t('own_account.password_changed'));
        },
        onError: (error) => {
            for (const [pointer, text] of Object.entries(fieldErrors(error)))
                form.setFieldError(pointer.slice(1), text);
            if (isWrong(error)) form.setFieldError('current_password', t('own_account.wrong_password'));
        },
    });
    const show = { 'aria-label': t('sign_in.show_password') };
    return (
        <Card component="section" aria-labelledby="password">
            <Title order={2} size="h4" id="password">
                {t('own_account.change_password')}
            </Title>
            <Text size="sm" c="dimmed" mb="md">
                {t('own_account.password_hint')}
            </Text>
            <form noValidate onSubmit={form.onSubmit((values) => change.mutate(values))}>
                <Stack maw={440}>
                    {change.isError && !isWrong(change.error) && (
                        <Alert color="red" role="alert">
                            {errorText(change.error)}
                        </Alert>
                    )}
                    {/* Password managers read the account from here. */}
                    <TextInput
                        label={t('account.username')}
                        autoComplete="username"
                        value={session?.account ?? ''}
                        readOnly
                    />
                    <PasswordInput
                        label={t('own_account.current_password')}
                        withAsterisk
                        autoComplete="current-password"
                        visibilityToggleButtonProps={show}
                        {...form.getInputProps('current_password')}
                    />
                    <PasswordInput
                        label={t('own_account.new_password')}
                        description={t('users.password_hint')}
                        withAsterisk
                        autoComplete="new-password"
                        visibilityToggleButtonProps={show}
                        {...form.getInputProps('new_password')}
                    />
                    <PasswordInput
                        label={t('own_account.repeat_password')}
                        withAsterisk
                        autoComplete="new-password"
                        visibilityToggleButtonProps={show}
                        {...form.getInputProps('repeated')}
                    />
                    <Group>
                        <Button type="submit" loading={change.isPending}>
                            {t('own_account.change_password')}
                        </Button>
                    </Group>
                </Stack>
            </form>
        </Card>
    );
}

/** The server refuses a wrong current password with 403. */
function isWrong(error: unknown): boolean {
    return error instanceof ApiError && error.status === 403;
}
