Register-ArgumentCompleter -Native -CommandName mdctl -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $before = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text.Trim([char[]]@(34, 39)) })
    $last = $global:LASTEXITCODE
    $env:MDCTL_WORDS = ($before + $wordToComplete) -join "`n"
    $found = @(mdctl __complete powershell 2>$null)
    $files = $LASTEXITCODE -eq 10
    Remove-Item Env:MDCTL_WORDS
    $global:LASTEXITCODE = $last
    foreach ($line in $found) {
        $value, $about = $line -split "`t", 2
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $about)
    }
    if ($files) { [System.Management.Automation.CompletionCompleters]::CompleteFilename($wordToComplete) }
}
